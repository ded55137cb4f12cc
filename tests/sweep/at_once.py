"""Several controllers, processes of their own, that first use a database at the same moment."""

import subprocess
import sys

_CONTROLLER = """
import sys
from pathlib import Path
import alembic.command, alembic.migration, alembic.script, optuna, sqlalchemy.orm
from automl_images.sweep.study import JobStudy
print("ready", flush=True)
for url in map(str.strip, sys.stdin):
    JobStudy(Path(sys.argv[1]), sys.argv[2], url).close()
    print("opened", flush=True)
"""


def open_at_once(folder, urls, controllers=3):
    """Let the controllers, each with a study of its own, open one database after the other; return what they say."""
    commands = [[sys.executable, "-c", _CONTROLLER, str(folder), f"job{n}"] for n in range(controllers)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    processes = [subprocess.Popen(command, text=True, **pipes) for command in commands]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * controllers
    said = []
    for url in urls:
        for process in processes:
            if process.poll() is None:
                process.stdin.write(f"{url}\n")
                process.stdin.flush()
        said += [process.stdout.readline() for process in processes]
    return "".join(said) + "".join(process.communicate()[1] for process in processes)
