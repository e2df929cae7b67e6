"""The command line: the verbs of `Library`, with data on stdout, progress and errors on stderr.

Only this package prints or exits. Its files import nothing heavy at the top: `footage --help` answers at once.
"""

from footage.cli.program import app, main

__all__ = ["app", "main"]
