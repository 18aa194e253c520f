# Runs commands of the OpenStack client one after another in one process: starting Python and loading the client takes
# two seconds, a command thirty milliseconds. A line of standard input is the JSON list of a command's arguments, or the
# command as one text that is split as a shell does; a line of standard output is what came of it.
import contextlib
import io
import json
import shlex
import sys

from openstackclient import shell

sys.argv[0] = "openstack"
answers = sys.stdout
for line in sys.stdin:
    command = json.loads(line)
    if isinstance(command, str):
        command = shlex.split(command)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = shell.main(command)  # a shell of its own, with its own login
        except SystemExit as e:
            status = e.code
    print(json.dumps({"status": status or 0, "out": out.getvalue(), "err": err.getvalue()}), file=answers, flush=True)
