"""How long does a program take from its start to its first result, and what does the import cost?

Each program is a fresh process, in turns, after one that does not count. Peers that are not
installed are skipped with a line: ``pip install "dask[distributed]" ray`` brings them.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 5

FIRST_RESULT = {
    "distexec": (
        "import distexec\n"
        "executor = distexec.DistributedExecutor(2)\n"
        "assert executor.submit(pow, 2, 10).result() == 1024\n"
    ),
    "ProcessPoolExecutor": (
        "from concurrent.futures import ProcessPoolExecutor\n"
        "executor = ProcessPoolExecutor(2)\n"
        "assert executor.submit(pow, 2, 10).result() == 1024\n"
    ),
    "dask": (
        "from distributed import Client, LocalCluster\n"
        "if __name__ == '__main__':\n"
        "    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)\n"
        "    client = Client(cluster)\n"
        "    executor = client.get_executor()\n"
        "    assert executor.submit(pow, 2, 10).result() == 1024\n"
    ),
    "ray": (
        "import ray\n"
        "ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "assert ray.get(ray.remote(pow).remote(2, 10)) == 1024\n"
    ),
}
MODULES = {"dask": "distributed", "ray": "ray"}
TELL = "import sys; sys.stdout.write('first result\\n'); sys.stdout.flush()\n"


def first_result(name: str) -> float:
    """Seconds from the start of Python to the first result; the program's end is not counted."""
    code = FIRST_RESULT[name]
    indent = "    " if "__main__" in code else ""
    script = Path(__file__).with_name(f"_cold_{name}.py")
    script.write_text(code + "".join(f"{indent}{line}\n" for line in TELL.splitlines()))
    try:
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "first result\n":
                    break
            seconds = time.perf_counter() - started
            process.stdout.read()
        return seconds
    finally:
        script.unlink()


def import_seconds(module: str) -> float:
    """Seconds of a process that imports *module* and nothing else."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - started


def main() -> None:
    names = []
    for name in FIRST_RESULT:
        module = MODULES.get(name)
        if module and importlib.util.find_spec(module) is None:
            print(f"{name}: skipped, it is not installed")
        else:
            names.append(name)
    results: dict[str, list[float]] = {name: [] for name in names}
    imports: dict[str, list[float]] = {"distexec": [], "concurrent.futures": []}
    for round_ in range(ROUNDS + 1):
        for name in names:
            seconds = first_result(name)
            if round_:
                results[name].append(seconds)
        for module, found in imports.items():
            found.append(import_seconds(module))
    print(f"{'start to first result':24}{'median':>9}{'min':>9}{'max':>9}   seconds")
    for name, found in results.items():
        middle = statistics.median(found)
        print(f"{name:24}{middle:9.3f}{min(found):9.3f}{max(found):9.3f}")
    ours, theirs = (statistics.median(found[1:]) for found in imports.values())
    print(f"\nimport distexec costs {1000 * (ours - theirs):.1f} ms over concurrent.futures")
    report = {"first_result": results, "import": imports}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
