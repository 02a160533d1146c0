"""What the names of columns tell: which is the target, which numbers or names the rows."""

import re

TARGET_NAMES = (
    "target", "survived", "species", "diagnosis", "outcome", "label", "labels", "class", "classes", "classification",
    "classlabel", "targetclass", "targetvariable", "y", "response", "churn", "churned", "attrition", "exited",
    "default", "defaulted", "fraud", "isfraud", "spam", "isspam", "income", "quality", "variety", "cultivar", "disease",
    "heartdisease", "stroke", "approved", "loanstatus", "purchased", "subscribed", "deposit", "result", "category",
    "sentiment", "output",
)  # fmt: skip
"""Names of target columns, in lower case without anything but letters: the earlier ones first."""
STRONG_NAMES = ("target", "y", "outcome", "label", "response", "output", "targetvariable")
"""Those that can also be the target of a regression."""
CLEAR_NAMES = (*STRONG_NAMES, "class", "classes", "classlabel", "labels", "species", "survived", "diagnosis")
"""Those that are the target even if it is empty or constant: that is said, instead of taking another column."""
_TARGET_WORDS = ("target", "class", "label", "outcome", "diagnosis")
"""Beginnings of words, such as those of "wine_class", that make a name a target's where none of the names above is."""
LABEL_NAMES = frozenset(
    [
        "id",
        "index",
        "idx",
        "nr",
        "no",
        "number",
        "row",
        "rowid",
        "rownr",
        "rowno",
        "rownum",
        "rownumber",
        "rownames",
        "rowname",
        "key",
        "uuid",
        "guid",
        "recordid",
        "serial",
        "serialno",
        "serialnumber",
        "uid",
    ]
)
"""Names of row labels, in lower case without anything but letters."""


def plain(name: str) -> str:
    """A name in lower case, without anything but letters."""
    return re.sub(r"[^a-z]", "", name.lower())


def words(name: str) -> list[str]:
    """The words of a name, in lower case: those of sex_class and isFraud too."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]


def is_named_like_labels(name: str) -> bool:
    """Whether a name says that its column numbers or names the rows."""
    found = plain(name)
    return found in LABEL_NAMES or found.endswith("id") or bool({"id", "index", "uuid"} & set(words(name)))


def named_targets(names: tuple[str, ...]) -> list[int]:
    """Places of columns with a target's name, the likeliest first."""
    known = [plain(name) for name in names]
    found = [known.index(name) for name in TARGET_NAMES if name in known]
    if "y" in known and "x" in known and known[-1] != "y":  # coordinates
        found.remove(known.index("y"))
    for place, name in enumerate(names):
        if place not in found and any(word.startswith(_TARGET_WORDS) for word in words(name)):
            found.append(place)
    return found


def is_telling_name(text: str) -> bool:
    """Whether a text is more likely a column's name than a cell: that of a target, or of row labels."""
    found = plain(text)
    return len(found) > 1 and (found in TARGET_NAMES or found in LABEL_NAMES)
