//! The startup packet: who wants in, and to which database.

use super::fault::Fault;

/// A startup packet of version 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// The protocol's minor version; what the server does not know it says itself.
    pub minor: u16,
    /// Who wants to log in. Bytes that are no UTF-8 are replaced here: they name nobody in a route.
    pub user: String,
    /// The database, which is named like the user unless the client says otherwise.
    pub database: String,
    raw: Vec<u8>,
}

impl Startup {
    /// Reads a whole packet: its length, its version and the parameters.
    pub(super) fn read(packet: &[u8], minor: u16) -> Result<Self, Fault> {
        let (mut user, mut database) = (None, None);
        for pair in Pairs::of(packet) {
            let (name, value) = pair?;
            match name {
                b"user" if user.replace(value).is_some() => return Err(Fault::Twice("user")),
                b"database" if database.replace(value).is_some() => return Err(Fault::Twice("database")),
                _ => {}
            }
        }
        let user = user.filter(|user| !user.is_empty()).ok_or(Fault::NoUser)?;
        let database = database.filter(|database| !database.is_empty()).unwrap_or(user);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { minor, user: text(user), database: text(database), raw: packet.to_vec() })
    }

    /// The packet as it came, for the server.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The last value of a parameter, such as `application_name`.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        let pairs = Pairs::of(&self.raw).filter_map(Result::ok);
        pairs.filter(|(of, _)| *of == name.as_bytes()).last().map(|(_, value)| value)
    }

    /// Whether a replica or a change stream asks, and not a session for queries.
    pub fn is_replication(&self) -> bool {
        // The server takes any beginning of a word for no; what is neither yes nor no it refuses itself.
        let no = |value: &[u8]| ["0", "false", "no", "off"].iter().any(|no| no.as_bytes().starts_with(value));
        self.param("replication").is_some_and(|value| !no(&value.to_ascii_lowercase()))
    }
}

/// The parameters of a packet.
struct Pairs<'a> {
    /// None behind the terminator, or behind a fault.
    rest: Option<&'a [u8]>,
}

impl<'a> Pairs<'a> {
    fn of(packet: &'a [u8]) -> Self {
        Self { rest: Some(packet.get(HEAD..).unwrap_or_default()) }
    }

    fn pair(&mut self, rest: &'a [u8]) -> Result<Option<Pair<'a>>, Fault> {
        let (name, behind) = text(rest)?;
        if name.is_empty() {
            return if behind.is_empty() { Ok(None) } else { Err(Fault::Layout) };
        }
        let (value, behind) = text(behind)?;
        self.rest = Some(behind);
        Ok(Some((name, value)))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        self.pair(rest).transpose()
    }
}

/// A name and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The bytes up to a NUL, and those behind it.
fn text(bytes: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(Fault::Layout)?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

/// The length and the version.
const HEAD: usize = 8;
