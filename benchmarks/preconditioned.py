"""What a step of SOAP takes beside its products of matrices, and beside another library's."""

from slalom.bench.preconditioned import main

if __name__ == "__main__":
    main()
