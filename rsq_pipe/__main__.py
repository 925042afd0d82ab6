"""`python -m rsq_pipe`: the command line, if its script is not on PATH."""

from rsq_pipe.cli.start import main

if __name__ == "__main__":
    main()
