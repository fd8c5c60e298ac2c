//! Looks into a raw query without copying it: `a=1&b=%20`, `+` being a space. Nothing is refused here.

/// Whether a parameter of this name has a value that passes the test; `?a` is `a` with an empty value.
pub(super) fn any(query: &str, name: &str, mut test: impl FnMut(Decoded<'_>) -> bool) -> bool {
    query.split('&').filter(|pair| !pair.is_empty()).any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decode(key).eq(name.bytes()) && test(decode(value))
    })
}

/// The bytes of a query part, decoded on the way.
#[derive(Clone)]
pub(super) struct Decoded<'a>(&'a [u8]);

fn decode(text: &str) -> Decoded<'_> {
    Decoded(text.as_bytes())
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, rest) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    self.0 = after;
                    Some(high << 4 | low)
                }
                _ => Some(first),
            },
            _ => Some(first),
        }
    }
}
