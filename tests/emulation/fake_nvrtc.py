"""The part of CuPy that `fastdrop.backends.cuda.compiler` uses: bindings to NVRTC, without a compiler or a GPU."""

import struct


def elf(program_headers=2, code=b"machine code"):
    """A file with the headers of a cubin: the code, the section headers, the program headers at the end."""
    sections = 64 + len(code)
    programs = sections + 3 * 64
    header = b"\x7fELF\x02\x01".ljust(0x20, b"\1") + struct.pack(
        "<QQIHHHHHH", programs, sections, 0, 64, 56, program_headers, 64, 3, 1
    )
    return header + code + b"\2" * 3 * 64 + (b"\3" * 55 + b"\0") * program_headers


class NVRTCError(RuntimeError):
    pass


class Nvrtc:
    """CuPy's bindings, which cut the last byte of a cubin off."""

    NVRTCError = NVRTCError
    cuts = True

    def __init__(self):
        self.compiled, self.architectures, self.options = [], (75, 80, 90), []

    def getVersion(self):
        return 12, 4

    def getSupportedArchs(self):
        return self.architectures

    def createProgram(self, text, name, headers, names):
        return {}

    def addNameExpression(self, program, expression):
        program["name"] = expression

    def compileProgram(self, program, options):
        self.compiled.append(program["name"])
        self.options.append(options[-1])

    def getLoweredName(self, program, expression):
        return "_Z" + str(len(expression))

    def getCUBIN(self, program):
        image = elf(code=program["name"].encode())
        return image[:-1] if self.cuts else image

    def getPTX(self, program):
        return b"// ptx of " + program["name"].encode()

    def destroyProgram(self, program):
        program.clear()


class Module:
    def load(self, image):
        self.image = image

    def get_function(self, name):
        return name, self.image
