"""`python -m darkroom_local.s3 --data-dir DIR --port N`: serves until it is stopped."""

from darkroom_local.s3.server import main

if __name__ == "__main__":
    main()
