"""``python -m stream_persona``: the console script ``stream-persona``."""

from stream_persona.cli.main import main

if __name__ == "__main__":
    main()
