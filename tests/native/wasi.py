"""Runs a WebAssembly program with the files of its first argument's folder: a runner, as qemu is.

python tests/native/wasi.py PROGRAM ARGUMENTS...
"""

import os
import sys

import wasmtime


def main(program, arguments):
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    linker.define_wasi()
    config = wasmtime.WasiConfig()
    config.argv = [program, *arguments]
    config.inherit_stdout()
    config.inherit_stderr()
    if arguments and os.path.isdir(arguments[0]):
        config.preopen_dir(arguments[0], arguments[0])
    store.set_wasi(config)
    instance = linker.instantiate(store, wasmtime.Module.from_file(engine, program))
    try:
        instance.exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        return end.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
