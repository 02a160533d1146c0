"""Reads the PTX of a kernel into the tables that machine.cpp executes. It refuses unknown instructions by name."""

import re

import numpy as np

OPERANDS = 6
POISON = 0x7D7D7D7D7D7D7D7D
"""What registers hold before they are written."""

INSTRUCTION = np.dtype(
    [(name, "i4") for name in ("op", "guard", "guard_value", "target", "size", "count", "address", "line")]
    + [("operand", "i4", OPERANDS), ("offset", "i8")]
)
SPECIAL = ("%tid.x", "%ctaid.x", "%ntid.x", "%nctaid.x")
SIZES = {f"{letter}{bits}": bits // 8 for letter in "ubf" for bits in (8, 16, 32, 64)} | {"s32": 4, "s64": 8}
"""Of types that are loaded and stored; a narrower signed one would be extended."""

STATEMENT = re.compile(r"(?:@(!?)(%\w+)\s+)?([a-z][\w.]*)\s*(.*);")
ACCESS = re.compile(r"(ld|st)\.(\w+)(?:\.(v[24]))?\.(\w+)")
ADDRESS = re.compile(r"\[([%\w$]+)(?:\+(-?\d+))?\]")
DIRECTIVES = (".pragma", ".loc", ".file", ".maxntid", ".minnctapersm", ".version", ".target", ".address_size", ".const")


class UnknownInstruction(Exception):
    """PTX that this decoder or instructions.h does not know."""


class Kernel:
    """A kernel as tables: instructions, a new thread's registers, and the sizes of its shared variables."""

    def __init__(self, text: str, function: str, names: dict[str, int]) -> None:
        self.names, self.function = names, function
        self.registers: dict[str, int] = {}
        self.initial: list[int] = []
        self.symbols: dict[str, int] = {}
        self.shared: list[tuple[int, int]] = []
        self.labels: dict[str, int] = {}
        self.rows: list[tuple] = []
        self.jumps: dict[int, str] = {}
        for name in SPECIAL:
            self._register(name)
        self._read(text)
        self.instructions = np.array(self.rows, INSTRUCTION)
        for row, label in self.jumps.items():
            self.instructions["target"][row] = self.labels[label]
        self.start = np.array(self.initial, np.uint64)
        self.executed = np.zeros(len(self.rows), np.uint8)

    def _read(self, text: str) -> None:
        inside = False
        for number, raw in enumerate(text.split("\n"), 1):
            line = raw.partition("//")[0].strip()
            if re.search(rf"\.entry {re.escape(self.function)}\(", line):
                inside = True
            elif inside and line == "}":
                break
            elif inside and line not in ("", "{", ")"):
                try:
                    self._line(line, number)
                except UnknownInstruction as error:
                    raise UnknownInstruction(f"line {number} of {self.function}: {line}: {error}") from None
        if not self.rows:
            raise UnknownInstruction(f"there is no kernel {self.function}")

    def _line(self, line: str, number: int) -> None:
        if found := re.fullmatch(r"([$\w]+):", line):
            self.labels[found[1]] = len(self.rows)
        elif line.startswith((".reg ", *DIRECTIVES)):
            pass  # registers get their numbers when they are used
        elif found := re.fullmatch(r"\.param \.align \d+ \.b8 (\w+)\[\d+\],?", line):
            if self.symbols:
                raise UnknownInstruction("a kernel takes one struct")
            self.symbols[found[1]] = 0
        elif found := re.fullmatch(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\];", line):
            align, end = int(found[1]), self.shared[-1][1] if self.shared else 0
            begin = -(-(end + 1) // align) * align  # a byte between variables detects an access beyond one
            self.shared.append((begin, begin + int(found[3])))
            self.symbols[found[2]] = begin
        elif found := STATEMENT.fullmatch(line):
            self._statement(found, number)
        else:
            raise UnknownInstruction("unknown syntax")

    def _statement(self, found: re.Match, number: int) -> None:
        negated, guard, name, rest = found.groups()
        row = {"guard": -1, "guard_value": 0, "size": 0, "count": 0, "address": 0, "offset": 0, "line": number}
        if guard:
            row |= {"guard": self._register(guard), "guard_value": 0 if negated else 1}
        texts: list[str] = []
        access = ACCESS.fullmatch(name)
        if name in ("bra", "bra.uni"):
            self.jumps[len(self.rows)] = rest
        elif access:
            texts = self._access(access, rest, row)
            name = f"{access[1]}.{access[2]}"
        else:
            name, texts = self._operands(name, rest)
        if name not in self.names:
            raise UnknownInstruction(f"the instruction {name} is not one of those that kernels may consist of")
        places = [self._operand(text) for text in texts]
        if len(places) > OPERANDS:
            raise UnknownInstruction("too many operands")
        row["operand"] = places + [0] * (OPERANDS - len(places))
        row |= {"op": self.names[name], "target": 0}
        self.rows.append(tuple(row[field] for field in INSTRUCTION.names))

    def _access(self, access: re.Match, rest: str, row: dict) -> list[str]:
        """The data's registers; size, number and address go into the row."""
        kind, _, vector, dtype = access.groups()
        if dtype not in SIZES or (vector and SIZES[dtype] * int(vector[1]) > 16):
            raise UnknownInstruction(f"the access {access[0]} is unknown")
        place = ADDRESS.search(rest)
        if place is None:
            raise UnknownInstruction("unknown syntax of an address")
        data = rest.replace(place[0], "").strip(", {}")
        row |= {"size": SIZES[dtype], "count": int(vector[1]) if vector else 1}
        row |= {"address": self._operand(place[1]), "offset": int(place[2] or 0)}
        texts = [text.strip() for text in data.split(",")]
        if len(texts) != row["count"]:
            raise UnknownInstruction(f"{kind} of {row['count']} values has {len(texts)} operands")
        return texts

    def _operands(self, name: str, rest: str) -> tuple[str, list[str]]:
        if name in ("mov.b32", "mov.b64") and "{" in rest:
            name += ".unpack" if rest.startswith("{") else ".pack"
            rest = rest.replace("{", "").replace("}", "")
        if name.startswith("shfl.") and "|" not in rest:
            rest = rest.replace(",", "|%unused,", 1)
        texts = [text.strip() for text in rest.replace("|", ",").split(",")] if rest else []
        if name.startswith("bar.") and len(texts) != 1:
            raise UnknownInstruction("a barrier that is not of all threads")
        return name, texts

    def _register(self, name: str) -> int:
        if name not in self.registers:
            self.registers[name] = len(self.initial)
            self.initial.append(POISON)
        return self.registers[name]

    def _operand(self, text: str) -> int:
        """The register of an operand; constants and variables' addresses have registers, too."""
        if re.fullmatch(r"%[a-z]+\d+|%unused", text) or text in SPECIAL:
            return self._register(text)
        if text in self.symbols:
            value = self.symbols[text]
        elif (found := re.fullmatch(r"0[fF]([0-9A-Fa-f]{8})", text)) or (
            found := re.fullmatch(r"0[dD]([0-9A-Fa-f]{16})", text)
        ):
            value = int(found[1], 16)
        elif re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)U?", text):
            value = int(text.rstrip("U"), 0) % 2**64
        else:
            raise UnknownInstruction(f"the operand {text} is unknown")
        if text not in self.registers:
            self.registers[text] = len(self.initial)
            self.initial.append(value)
        return self.registers[text]
