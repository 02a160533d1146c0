"""What goes wrong with what somebody gave: a configuration, a file, a saved state. Each is a ValueError."""


class ConfigError(ValueError):
    """A configuration that cannot be run. The message names the field, the value and the way out.

    Attributes
    ----------
    field : str
        The field that is wrong; empty where it is not one field.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class DataError(ValueError):
    """Data that cannot be trained on; the message names the file and, where there is one, row and column."""


class CheckpointError(ValueError):
    """A checkpoint that does not belong to this configuration."""
