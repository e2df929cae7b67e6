"""`python -m footage.cli`: the command line."""

from footage.cli import main

main()
