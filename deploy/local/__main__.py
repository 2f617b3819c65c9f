"""Entry point of `./dev`: parses the command line, and prints errors as sentences."""

from __future__ import annotations

import argparse
import errno
import os
import sys

from deploy.local import commands, say
from deploy.local.trouble import Trouble


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="./dev", description="The repair portal on this machine.")
    verbs = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def verb(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    up = verb("up", commands.up, "start everything; returns when all is ready")
    up.add_argument(
        "--no-demo",
        dest="demo",
        action="store_false",
        help="without the demo: no customers, no logins",
    )
    verb("down", commands.down, "stop everything; the data stays")
    restart = verb(
        "restart", commands.restart_process, "restart one process without failed requests"
    )
    restart.add_argument("name", metavar="NAME", help="of a process, as ./dev status lists it")
    status = verb("status", commands.status, "every process and its memory; 0 when all is ready")
    status.add_argument(
        "--json", action="store_true", help="one JSON object, with addresses, key and logins"
    )
    logs = verb("logs", commands.logs, "the last lines of the logs")
    logs.add_argument("name", nargs="?", help="of one process")
    logs.add_argument("-f", dest="follow", action="store_true", help="follow them as they grow")
    logs.add_argument("-n", dest="lines", type=int, default=40, help="how many lines (40)")
    run = verb(
        "run", commands.run, "a service's command with its settings: ./dev run portal-query verify"
    )
    run.add_argument("service", choices=sorted(commands.SETTINGS_OF), metavar="SERVICE")
    run.add_argument("words", nargs=argparse.REMAINDER, help="for the command")
    verb("env", commands.env, 'addresses and key for a shell: eval "$(./dev env)"')
    back_up = verb(
        "backup",
        commands.back_up,
        "copy the data that must not be lost into a new folder, while all continues",
    )
    back_up.add_argument("folder", metavar="DIR", help="that does not exist yet")
    restore = verb(
        "restore",
        commands.restore_backup,
        "restore a backup; returns when all figures are those of the restored lists",
    )
    restore.add_argument("folder", metavar="DIR", help="that ./dev backup made")
    restore.add_argument("--yes", action="store_true", help="do not ask")
    reset = verb("reset", commands.reset, "stop everything and delete all local data")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    reset.add_argument(
        "--copies",
        action="store_true",
        help="only the copies (read model, Kafka, Valkey), rebuilt from the writer's lists",
    )
    verb(
        "doctor", commands.examine, "list the programs and packages that this machine has or lacks"
    )
    check = verb(
        "check", commands.check, "format, lint, prose, import contracts, types, coverage, spelling"
    )
    check.add_argument(
        "--measures",
        action="store_true",
        help="print sentence, function and file lengths and weak names instead",
    )
    test = verb(
        "test",
        commands.test,
        "check, then all tests; arguments after -- go to pytest, without check",
    )
    test.add_argument("--long", action="store_true", help="with the tests that take minutes")
    test.add_argument(
        "--fast",
        action="store_true",
        help="check, unit tests and the integration tests of members that differ from main",
    )
    test.add_argument("pytest", nargs="*", help="for pytest")
    # These two parse their own options: for this parser a dash starts no option.
    for name, run_it, text in (
        ("bench", commands.bench, "speed and memory against floors; --help names its options"),
        ("chaos", commands.chaos, "break a system of its own, check every number; --help too"),
    ):
        own = verbs.add_parser(name, help=text, prefix_chars="+", add_help=False)
        own.set_defaults(run=run_it)
        own.add_argument(name, nargs="*")
    demo = verb(
        "demo",
        commands.demo,
        "live: new repairs until Ctrl-C; load: the three years again",
    )
    demo.add_argument("what", choices=("live", "load"))
    demo.add_argument("options", nargs=argparse.REMAINDER, help="for the demo")
    verb("lock", commands.lock, "regenerate requirements.lock (needs uv)")
    return top


def main() -> int:
    """Run one command; return its exit status."""
    # Servers run as another user: new files are readable, unless their mode is set explicitly.
    os.umask(0o022)
    arguments = parser().parse_args()
    try:
        return int(arguments.run(arguments))
    except Trouble as found:
        say.trouble(found)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output has ended (./dev logs | head).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as problem:
        say.trouble(in_words(problem))
    return 1


def in_words(problem: OSError) -> Trouble:
    """Return the error of the operating system as a sentence with a remedy."""
    if problem.errno == errno.ENOSPC:
        return Trouble("the disk is full", "Make room and run the command again; nothing is lost.")
    if problem.errno in {errno.EACCES, errno.EPERM}:
        return Trouble(
            f"no permission: {problem}",
            "Were earlier commands run as another user? Use the same one, or ./dev reset.",
        )
    return Trouble(str(problem), "Run ./dev doctor for more.")


if __name__ == "__main__":
    sys.exit(main())
