"""A label server to be killed: python -m tests.faults.labelling FOLDER PORT TOKEN. Imports no torch."""

from __future__ import annotations

import sys

from deepen.stages import label
from deepen.web import labelling


def main(folder: str, port: int, token: str) -> None:
    desk = label._desk(folder, None, ("0", "1", "2", "3"), 4, "unlabelled", {})
    app = labelling.App(desk)
    app.token = token
    labelling.server(app, labelling.listen("127.0.0.1", port)).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
