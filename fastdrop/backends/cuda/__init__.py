"""CuPy arrays. Nothing here imports CuPy before an array of it, or a device, is asked for."""
