"""``python studies/run_study.py …`` is ``autogan-ray run …``."""

from autogan_ray.cli.main import script

if __name__ == "__main__":
    script("run")
