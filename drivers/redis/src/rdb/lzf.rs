//! LZF, with which servers compress strings.

/// How much longer than what it was made of a string can become, at most: three bytes stand for 264.
const MOST: usize = 88;

/// Appends what `packed` stands for. Says no if that is not exactly `length` bytes long.
pub(super) fn decompress(packed: &[u8], length: usize, into: &mut Vec<u8>) -> bool {
    let start = into.len();
    into.reserve(length.min(packed.len().saturating_mul(MOST)));
    let mut left = packed;
    while let [control, rest @ ..] = left {
        let control = usize::from(*control);
        let copied = if control < 32 {
            rest.split_at_checked(control + 1).map(|(literal, rest)| {
                into.extend_from_slice(literal);
                rest
            })
        } else {
            repeat(control, rest, start, into)
        };
        match copied {
            Some(rest) if into.len() - start <= length => left = rest,
            _ => return false,
        }
    }
    into.len() - start == length
}

/// Appends what came before once more. Gives what is left of the packed bytes.
fn repeat<'a>(control: usize, packed: &'a [u8], start: usize, into: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (more, packed) = if control >> 5 == 7 { packed.split_first()? } else { (&0, packed) };
    let (low, packed) = packed.split_first()?;
    let mut count = (control >> 5) + usize::from(*more) + 2;
    let back = ((control & 0x1f) << 8 | usize::from(*low)) + 1;
    let from = into.len().checked_sub(back).filter(|from| *from >= start)?;
    // What is copied may reach into what the copy makes.
    while count > 0 {
        let piece = count.min(into.len() - from);
        into.extend_from_within(from..from + piece);
        count -= piece;
    }
    Some(packed)
}
