"""A cluster inside one process, for the tests of those who use Quorate."""
