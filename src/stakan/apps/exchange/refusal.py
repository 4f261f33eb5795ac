"""What the exchange answers to a request that it does not carry out."""

from stakan.core.domain.errors import StakanError

PARAMETER_ERROR = 10001


class Refused(StakanError):
    """A request is refused with a code of the protocol; the text goes out as `retMsg` (or `ret_msg`)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
