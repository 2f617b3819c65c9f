"""Error of the local start, with its remedy."""


class Trouble(Exception):  # noqa: N818 - it is what a person has, not a programming error
    """Error that a person has to read or decide.

    `what` is one sentence without a full stop, `remedy` the next step, `log` the path of a file to read.
    """

    def __init__(self, what: str, remedy: str = "", log: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.log = log
