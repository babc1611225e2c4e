from quorate.wire.checksum import CRC_OF_NOTHING, crc32c, crc32c_extended


def test_it_is_castagnoli_and_not_the_polynomial_of_zip() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value in RFC 3720's catalogue entry


def test_a_sum_in_pieces_is_the_sum_of_the_whole() -> None:
    assert crc32c_extended(crc32c(b"1234"), b"56789") == crc32c(b"123456789")
    assert crc32c_extended(CRC_OF_NOTHING, b"123456789") == crc32c(b"123456789")
