"""`python -m dripiq` is `dripiq`."""

from dripiq.cli.main import main

if __name__ == "__main__":
    main()
