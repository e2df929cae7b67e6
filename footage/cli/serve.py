"""The verbs that open a library to others: people and programs on the network, agents on a pipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from footage.cli.display import short
from footage.cli.options import AllowDirOption, LibraryOption, open_library


def serve(
    library: LibraryOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine need a login.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8777,
    token: Annotated[
        str | None, typer.Option(help="Secret to log in with; better in FOOTAGE_TOKEN.", show_default=False)
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="File of NAME:HASH lines to log in with.", show_default=False)
    ] = None,
    allow_dir: AllowDirOption = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A host name of this server; may be repeated.", show_default=False)
    ] = None,
    cert: Annotated[Path | None, typer.Option(help="Certificate file, for https.", show_default=False)] = None,
    key: Annotated[Path | None, typer.Option(help="Its key file.", show_default=False)] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="One of several servers of this library: they agree on logins and jobs.")
    ] = False,
    hash_password: Annotated[bool, typer.Option("--hash-password", help="Print the hash of a password.")] = False,
) -> None:
    """Open the web page, the REST API and the MCP endpoint on one library."""
    if hash_password:
        from footage.api.security import hasher

        print(hasher().hash(typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)))
        return
    from footage.api.options import ServeOptions, read_users

    folders, urls = ServeOptions.allowing(allow_dir or [])
    options = ServeOptions(
        host=host or "127.0.0.1",
        port=port,
        token=token or os.environ.get("FOOTAGE_TOKEN") or None,
        users=read_users(users) if users else {},
        allow_dirs=folders,
        allow_urls=urls,
        shared=shared,
        hosts=tuple(name or []),
    ).check()
    from footage.api.server import listen

    with open_library(library) as lib:

        def opened(address: str) -> None:
            print(f"{address}  library {short(str(lib.path))}; Ctrl-C ends it", file=sys.stderr, flush=True)

        listen(lib, options, on_open=opened, certificate=(cert, key) if cert else None)


def mcp(library: LibraryOption = None, allow_dir: AllowDirOption = None) -> None:
    """Answer an agent by the Model Context Protocol on stdin and stdout."""
    from footage.api.options import ServeOptions
    from footage.mcp import serve_stdio

    folders, urls = ServeOptions.allowing(allow_dir or [])
    options = ServeOptions(allow_dirs=folders, allow_urls=urls).check()
    with open_library(library) as lib:
        serve_stdio(lib, options)
