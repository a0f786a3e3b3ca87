"""Foreign clients and servers against the example programs; started by conformance/foreign."""
import argparse
import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))

import foreign_clients
import foreign_deflate
import foreign_servers
import raw_client
import raw_server
from harness import Checks, example, stop_at_exit

SECTIONS = ("raw-client", "node-client", "python-client", "raw-server", "node-server", "python-server", "deflate")


def main():
    parser = argparse.ArgumentParser(prog="conformance/foreign", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="of %s; all when none is named" % ", ".join(SECTIONS))
    parser.add_argument("--server-cmd", help="the echo server; gets an address and options")
    parser.add_argument("--client-cmd", help="the echo client; gets a URL and messages")
    parser.add_argument("--fuzzing-client-cmd", help="the Autobahn client; gets a URL and an agent name")
    parser.add_argument("--deflate", action="store_true", help="the example programs speak permessage-deflate in every section")
    parser.add_argument("--all-sizes", action="store_true", help="messages of up to 16 MiB in every check of section deflate")
    options = parser.parse_args()
    for section in options.sections:
        if section not in SECTIONS:
            parser.error("no section %s" % section)
    sections = options.sections or SECTIONS

    stop_at_exit()
    checks = Checks()

    def program(name):
        return example(name) + (" --deflate" if options.deflate else "")

    def server():
        return options.server_cmd or program("echo_server")

    def client():
        return shlex.split(options.client_cmd or program("echo_client"))

    def fuzzing_client():
        return shlex.split(options.fuzzing_client_cmd or program("autobahn_client"))

    run = {
        "raw-client": lambda: raw_client.run(checks, server()),
        "node-client": lambda: foreign_clients.run(checks, server(), "node"),
        "python-client": lambda: foreign_clients.run(checks, server(), "python"),
        "raw-server": lambda: raw_server.run(checks, client()),
        "node-server": lambda: foreign_servers.run(checks, client(), fuzzing_client(), "node"),
        "python-server": lambda: foreign_servers.run(checks, client(), fuzzing_client(), "python"),
        "deflate": lambda: foreign_deflate.run(checks, server(), fuzzing_client(), options.all_sizes),
    }
    for section in sections:
        try:
            run[section]()
        except Exception as error:
            checks.record(section + " could not start", "FAIL", 0, error)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
