"""What the functions return: the array and its mask."""

from typing import Any, NamedTuple, NoReturn, TypeAlias, TypeVar

from numpy.typing import NDArray

M = TypeVar("M")
Result: TypeAlias = tuple[NDArray[Any], M]


class Dropped(NamedTuple):
    """The pair (y, mask): ``y, mask = fd.dropout(x)``. The mask is None without training.

    It is no array: what would make one of it (``pair @ weight``, ``numpy.asarray(pair)``) raises TypeError.
    """

    y: NDArray[Any]
    mask: Any

    def __array__(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise TypeError("this is the pair (y, mask) that a dropout function returned, no array: y, mask = dropout(x)")


def dropped(y: NDArray[Any], mask: M) -> Result[M]:
    """The pair, made as fast as a tuple."""
    return _new(Dropped, (y, mask))


_new = tuple.__new__
