"""The compiled kernels. They are loaded here: ``from fastdrop._kernels import cpu``.

GNU's OpenMP lets an idle team spin for milliseconds, on cores that the next matrix product needs: a DropConnect layer
took 8.0 ms of which 1.2 were the product (2 cores, 1448 x 1448). So the team is asked to sleep after about 1000 rounds,
which made that 1.7 ms and kept calls in quick succession as fast as before. OpenMP reads this from the environment when
it is loaded, and only then; a policy that the user has set takes precedence.
"""

import os

from fastdrop import processor

_SPIN = "GOMP_SPINCOUNT"
_set_here = not {_SPIN, "OMP_WAIT_POLICY"} & os.environ.keys()
if _set_here:
    os.environ[_SPIN] = "1000"
try:
    from fastdrop._kernels import cpu
except ImportError as error:
    if error.name not in ("fastdrop._kernels", "fastdrop._kernels.cpu"):
        raise
    raise ImportError(
        f"the compiled kernels of fastdrop are not in {os.path.dirname(__file__)}: this is its source, which hides the "
        "package that may be installed. Start Python in another folder; or, to work on the source, run "
        "`pip install -e .` there"
    ) from None
finally:
    if _set_here:
        del os.environ[_SPIN]
processor.configure(cpu)
