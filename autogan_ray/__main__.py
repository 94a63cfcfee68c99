"""``python -m autogan_ray`` is ``autogan-ray``."""

from autogan_ray.cli.main import main

if __name__ == "__main__":
    main(prog_name="autogan-ray")
