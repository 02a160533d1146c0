"""`GraphStream`: masks that a CUDA graph draws anew whenever it is replayed."""

from typing import Any

import numpy as np

from fastdrop.backends.cuda import capture, device
from fastdrop.stream import Draw, Stream


class GraphStream(Stream):
    """A stream for CUDA graphs: what replays add to its call numbers is counted on the GPU that is current now.

    A captured graph repeats its launches as they were, call numbers and all, and so its masks. Those of this stream are
    numbered from the calls of earlier replays on, which the kernels read from the device. Its masks are for CuPy
    arrays only.

    Parameters
    ----------
    seed : int, optional
        The key, as for `Stream`.

    Attributes
    ----------
    counter : cupy.ndarray of uint64, shape (1,)
        How many call numbers earlier replays have used.

    Raises
    ------
    BackendUnavailable
        If there is no GPU.

    Notes
    -----
    `end_replay`, called once while capturing and after the last mask has been used, lets every replay end by counting
    the calls of one. Without it, replays repeat their masks. A mask of this stream is that of the replay that is
    running: looked at afterwards, it is the next one's. Masks drawn before or after the capture have numbers of their
    own only if they come from another stream.

    **Memory.** While a graph is captured, the temporary arrays of this package's calls and the counter are held, so the
    graph may outlive the masks and the stream. Its `cupy.cuda.Graph` holds this memory until it dies itself, which must
    not be before its last launch has ended. Where another package began the capture (`torch.cuda.graph`), the memory is
    held until `release`. The arrays that calls get and return are yours to hold while the graph may be launched, as is
    what other code computes in between.

    Examples
    --------
    >>> import cupy, fastdrop as fd                             # doctest: +SKIP
    >>> x, y = cupy.ones(1024), cupy.empty(1024)                # doctest: +SKIP
    >>> masks, stream = fd.GraphStream(42), cupy.cuda.Stream(non_blocking=True)  # doctest: +SKIP
    >>> _ = fd.dropout(x, rng=fd.Stream(0), out=y)              # compiles, before the capture # doctest: +SKIP
    >>> cupy.cuda.Device().synchronize()                        # x is there, for any stream # doctest: +SKIP
    >>> with stream:                                            # doctest: +SKIP
    ...     stream.begin_capture()
    ...     _ = fd.dropout(x, rng=masks, out=y)
    ...     masks.end_replay()
    ...     graph = stream.end_capture()
    >>> graph.launch(stream); graph.launch(stream)              # two masks # doctest: +SKIP
    """

    __slots__ = ("_counted", "counter")

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        self.counter: Any = device.require().zeros(1, np.uint64)
        self._counted = 0
        self.counter += np.uint64(0)  # CuPy compiles what end_replay launches: not while a graph is captured
        device.cupy().cuda.get_current_stream().synchronize()  # once: the graph may run on a stream that does not wait

    def draw(self) -> Any:
        """Take the next call number; returns the draw."""
        return GraphDraw(super().draw(), self.counter)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a plain stream: what replays add is counted on this GPU alone."""
        plain = Stream(0)
        plain.state = self.state
        return plain.__reduce__()

    def end_replay(self) -> None:
        """Count the calls since the last `end_replay`: on the device, by a launch that replays repeat."""
        with capture.on(self.counter.device):
            capture.keep(self.counter)
            self.counter += np.uint64(self.calls - self._counted)
        self._counted = self.calls

    @staticmethod
    def release() -> None:
        """Let go of the memory that is held for graphs which CuPy did not begin to capture, those of all streams.

        Only when none of them is launched any more. What CuPy captures is let go with its `cupy.cuda.Graph`.
        """
        capture.release()


class GraphDraw:
    """A draw whose call number is completed by a counter on the GPU."""

    __slots__ = ("call", "counter", "key")

    def __init__(self, draw: Draw, counter: Any) -> None:
        self.key, self.call = draw.key, draw.call
        self.counter = counter

    @property
    def on_host(self) -> Draw:
        """The draw as it is now, for the CPU; waits for the GPU."""
        return Draw(self.key, (self.call + int(self.counter.get()[0])) % 2**64)
