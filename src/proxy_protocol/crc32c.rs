//! `CRC32c`, Castagnoli's polynomial: the checksum that a header of version 2 may have (2.2.3).

const POLYNOMIAL: u32 = 0x82F6_3B78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index: u8 = 0;
    loop {
        let mut rest = index as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ POLYNOMIAL } else { rest >> 1 };
            bit += 1;
        }
        table[index as usize] = rest;
        if index == u8::MAX {
            return table;
        }
        index += 1;
    }
}

/// The checksum of the pieces, one behind the other.
pub(super) fn checksum<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let bytes = pieces.into_iter().flatten();
    !bytes.fold(u32::MAX, |rest, &byte| rest >> 8 ^ TABLE[usize::from(rest.to_le_bytes()[0] ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4, and the check value of the catalogue of CRCs.
    #[test]
    fn known_sums_come_out() {
        assert_eq!(checksum([&b"123456789"[..]]), 0xE306_9283);
        assert_eq!(checksum([&b"1234"[..], b"", b"56789"]), 0xE306_9283);
        assert_eq!(checksum([&[0; 32][..]]), 0x8A91_36AA);
        assert_eq!(checksum([&[0xFF; 32][..]]), 0x62A8_AB43);
        assert_eq!(checksum([]), 0);
    }
}
