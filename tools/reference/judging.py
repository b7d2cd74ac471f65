"""What the judges of exports share: running the program, the command line, going through models and profiles."""
import argparse
import pathlib
import subprocess
import sys
import tempfile


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return done.stdout


def parser_of(description, profiles=None):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    if profiles:
        parser.add_argument("--profiles", default=",".join(profiles))
    return parser


def judge(models, work):
    """work(path, folder) gives pairs (profile, function without arguments, false where it found a difference)."""
    good = True
    with tempfile.TemporaryDirectory() as name:
        for path in models:
            for profile, do in work(path, pathlib.Path(name)):
                try:
                    good &= bool(do())
                except Exception as error:
                    print(f"{path.name:26} {profile:14} FAILED: {error}", flush=True)
                    good = False
    sys.exit(not good)
