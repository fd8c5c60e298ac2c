//! Finds, in what a server says before its first ReadyForQuery, the key with which the session is cancelled.

/// Hops from message to message. Only the key is kept, however the bytes are cut.
#[derive(Debug, Clone, Default)]
pub struct BackendWatch {
    part: Part,
}

/// What the watch has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// Nothing yet.
    More,
    /// The key; there is nothing else to see.
    Key(BackendKey),
    /// There will be no key: the server is ready, has refused, or says what no server says.
    Done,
}

/// How the server knows a session that is to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendKey {
    /// The process of the server.
    pub pid: u32,
    /// 4 bytes, up to 256 since protocol 3.2.
    pub key: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Part {
    /// Within the type and the length of a message.
    Head { bytes: [u8; HEAD], filled: usize },
    /// Within a message that is passed over.
    Skip { left: usize },
    /// Within the key.
    Key { body: Vec<u8>, length: usize },
    /// Nothing is awaited any more.
    Done,
}

impl Default for Part {
    fn default() -> Self {
        Self::Head { bytes: [0; HEAD], filled: 0 }
    }
}

impl BackendWatch {
    /// A watch for a connection whose startup packet has just gone to the server.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes of the server. After anything else than [`Watched::More`] every answer is [`Watched::Done`].
    pub fn feed(&mut self, mut bytes: &[u8]) -> Watched {
        while !bytes.is_empty() {
            match &mut self.part {
                Part::Head { bytes: head, filled } => {
                    let taken = bytes.len().min(HEAD - *filled);
                    head[*filled..*filled + taken].copy_from_slice(&bytes[..taken]);
                    *filled += taken;
                    bytes = &bytes[taken..];
                    if *filled == HEAD {
                        self.part = message(*head);
                    }
                }
                Part::Skip { left } => {
                    let taken = bytes.len().min(*left);
                    *left -= taken;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        self.part = Part::default();
                    }
                }
                Part::Key { body, length } => {
                    let taken = bytes.len().min(*length - body.len());
                    body.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if body.len() == *length {
                        return self.found();
                    }
                }
                Part::Done => return Watched::Done,
            }
        }
        if matches!(self.part, Part::Done) { Watched::Done } else { Watched::More }
    }

    fn found(&mut self) -> Watched {
        match std::mem::replace(&mut self.part, Part::Done) {
            Part::Key { body, .. } => match body.split_first_chunk() {
                Some((pid, key)) => Watched::Key(BackendKey { pid: u32::from_be_bytes(*pid), key: key.to_vec() }),
                None => Watched::Done,
            },
            Part::Head { .. } | Part::Skip { .. } | Part::Done => Watched::Done,
        }
    }
}

/// What to do with the message that has this head.
fn message(head: [u8; HEAD]) -> Part {
    let [kind, length @ ..] = head;
    let body = i32::from_be_bytes(length).checked_sub(4).and_then(|body| usize::try_from(body).ok());
    match (kind, body) {
        (_, None) | (READY | ERROR, Some(_)) => Part::Done,
        (KEY, Some(length)) if KEY_BODY.contains(&length) => Part::Key { body: Vec::with_capacity(length), length },
        (KEY, Some(_)) => Part::Done,
        (_, Some(0)) => Part::default(),
        (_, Some(left)) => Part::Skip { left },
    }
}

const HEAD: usize = 5;
const READY: u8 = b'Z';
const ERROR: u8 = b'E';
const KEY: u8 = b'K';
/// The process and the key.
const KEY_BODY: std::ops::RangeInclusive<usize> = 4 + 4..=4 + 256;
