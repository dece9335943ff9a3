//! The bytes that the bulk scenarios carry, and the proof that they arrived.

use std::sync::LazyLock;

pub const BLOCK_BYTES: usize = 64 * 1024;

/// How much of either end of a chunk is compared. Every byte would cost the generator as much as moving
/// it does; a lost, doubled, misplaced or wrongly unmasked byte shows at the next chunk's start.
const COMPARED_BYTES: usize = 16;

/// The stream is this block over and over. No two neighbourhoods in it are alike, so that its bytes say
/// where in the block they belong.
pub static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..BLOCK_BYTES as u64)
        .map(|index| {
            let [scattered, ..] = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            let [.., high, _] = index.to_be_bytes();
            scattered ^ high
        })
        .collect()
});

/// Follows a stream of blocks and panics where it goes wrong.
#[derive(Default)]
pub struct Checker {
    pub received: usize,
}

impl Checker {
    pub fn take(&mut self, chunk: &[u8]) {
        let head = chunk.len().min(COMPARED_BYTES);
        compare(&chunk[..head], self.received);
        compare(&chunk[chunk.len() - head..], self.received + chunk.len() - head);
        self.received += chunk.len();
    }
}

fn compare(bytes: &[u8], offset: usize) {
    let right = bytes.iter().zip(offset..).all(|(&byte, at)| byte == BLOCK[at % BLOCK_BYTES]);
    assert!(right, "wrong bytes arrived near offset {offset} of a bulk transfer");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_stream_in_any_cutting() {
        let stream = [&BLOCK[..], &BLOCK[..], &BLOCK[..1000]].concat();
        for size in [1, 7, 31, 32, 4096, 65_537] {
            let mut checker = Checker::default();
            stream.chunks(size).for_each(|chunk| checker.take(chunk));
            assert_eq!(checker.received, stream.len());
        }
    }

    #[test]
    #[should_panic(expected = "wrong bytes arrived")]
    fn notices_a_lost_byte() {
        let mut checker = Checker::default();
        checker.take(&BLOCK[..1000]);
        checker.take(&BLOCK[1001..2000]);
    }

    #[test]
    #[should_panic(expected = "wrong bytes arrived")]
    fn notices_a_lost_kibibyte() {
        let mut checker = Checker::default();
        checker.take(&BLOCK[..1024]);
        checker.take(&BLOCK[2048..4096]);
    }
}
