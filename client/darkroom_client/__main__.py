"""`python -m darkroom_client` is the command `darkroom`."""

from darkroom_client.cli.main import main

if __name__ == "__main__":
    main()
