"""What the local start says when it cannot go on: what is wrong, and what to do next."""


class Trouble(Exception):  # noqa: N818 - it is what a person has, not a programming error
    """Something a person has to know about or decide.

    `what` is one sentence without a full stop; `remedy` says what to do next; `log` names a file to read.
    """

    def __init__(self, what: str, remedy: str = "", log: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.log = log
