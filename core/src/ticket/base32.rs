//! Base32 (RFC 4648, section 6) without padding, in lower case; read in either. In upper case a QR code holds it in its denser mode.

use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Appends the digits of `bytes`.
pub(super) fn encode(bytes: &[u8], out: &mut String) {
    for group in bytes.chunks(5) {
        let mut padded = [0; 8];
        for (slot, byte) in padded[3..].iter_mut().zip(group) {
            *slot = *byte;
        }
        let bits = u64::from_be_bytes(padded);
        for digit in 0..(group.len() * 8).div_ceil(5) {
            let index = (bits >> (35 - 5 * digit)) & 31;
            let digit = usize::try_from(index)
                .ok()
                .and_then(|index| ALPHABET.get(index));
            out.extend(digit.map(|digit| char::from(*digit)));
        }
    }
}

/// The bytes of `digits`, which hold nothing else; `None` for another character, an impossible length, or left-over bits that are not zero
/// (each value has one text).
pub(super) fn decode(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(digits.len() * 5 / 8));
    let (mut bits, mut held) = (0_u32, 0);
    for digit in digits {
        let value = match digit.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => letter - b'a',
            number @ b'2'..=b'7' => number - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    (held < 5 && bits == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_4648() {
        let vectors = [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ];
        for (bytes, digits) in vectors {
            let mut text = String::new();
            encode(bytes.as_bytes(), &mut text);
            assert_eq!(text, digits);
            for digits in [digits.into(), digits.to_ascii_uppercase()] {
                let back = decode(digits.as_bytes()).unwrap();
                assert_eq!(back.as_slice(), bytes.as_bytes());
            }
        }
    }

    #[test]
    fn no_value_has_two_texts() {
        for refused in [
            "m",
            "mz",
            "mzx",
            "my1",
            "my=",
            "mzxw6ytbo",
            "mzxw6ytboj",
            "é",
        ] {
            assert!(decode(refused.as_bytes()).is_none(), "{refused}");
        }
    }
}
