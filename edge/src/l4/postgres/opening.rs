//! What a client asks for first.

use super::MAX_STARTUP;
use super::fault::Fault;
use super::startup::Startup;

/// Follows a client from its first byte to its startup packet.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    ssl_asked: bool,
    gss_asked: bool,
    in_tls: bool,
}

/// What the driver does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read more, and feed everything again.
    NeedMore,
    /// A GSSENCRequest, and nothing behind it: answer [`super::NO`], forget these bytes and go on.
    Gss,
    /// An SSLRequest, and nothing behind it: answer [`super::YES`] and begin TLS, then [`Opening::enter_tls`]; or answer
    /// [`super::NO`] and go on. Either way these bytes are done with.
    Ssl,
    /// TLS begins with these bytes (`sslnegotiation=direct`): nothing is answered. ALPN must be [`super::ALPN`].
    DirectTls,
    /// A request to cancel what another connection does. No answer: the client waits for the close only.
    Cancel(Cancel),
    /// A session. Bytes behind [`Startup::raw`] are for the server.
    Startup(Startup),
    /// Say [`Fault::response`], if it has one, and close.
    Refuse(Fault),
}

/// Which connection is to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// The process of the server.
    pub pid: u32,
    /// What the server gave to the session for this: 4 bytes, up to 256 since protocol 3.2.
    pub key: Vec<u8>,
}

impl Cancel {
    /// The packet that asks for it.
    pub fn packet(&self) -> Vec<u8> {
        let length = u32::try_from(CANCEL_HEAD + self.key.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes()[..], &CANCEL_CODE.to_be_bytes(), &self.pid.to_be_bytes(), &self.key].concat()
    }
}

impl Opening {
    /// A client that has just come.
    pub fn new() -> Self {
        Self::default()
    }

    /// The handshake is done: what comes now is in TLS.
    pub fn enter_tls(&mut self) {
        self.in_tls = true;
    }

    /// Judges everything that came since the last step other than [`Step::NeedMore`]. The driver takes what is there in one
    /// read, not the eight bytes of a request: what is glued behind must be seen.
    pub fn feed(&mut self, received: &[u8]) -> Step {
        // Only the first byte of all: behind an answered request the client has chosen the other way already.
        let first = !self.ssl_asked && !self.gss_asked && !self.in_tls;
        if first && received.first() == Some(&TLS_HANDSHAKE) {
            return Step::DirectTls;
        }
        self.judge(received).unwrap_or_else(Step::Refuse)
    }

    fn judge(&mut self, received: &[u8]) -> Result<Step, Fault> {
        let Some(length) = length(received)? else { return Ok(Step::NeedMore) };
        let Some((code, _)) = received.get(4..).and_then(<[u8]>::split_first_chunk) else { return Ok(Step::NeedMore) };
        match u32::from_be_bytes(*code) {
            SSL_CODE => encryption(&mut self.ssl_asked, self.in_tls, length, received).map(|()| Step::Ssl),
            GSS_CODE => encryption(&mut self.gss_asked, self.in_tls, length, received).map(|()| Step::Gss),
            CANCEL_CODE if !CANCEL_LENGTHS.contains(&length) => Err(Fault::Length),
            CANCEL_CODE => Ok(received.get(8..length).and_then(cancel).map_or(Step::NeedMore, Step::Cancel)),
            _ => {
                let (major, minor) = (u16::from_be_bytes([code[0], code[1]]), u16::from_be_bytes([code[2], code[3]]));
                if major != 3 {
                    return Err(Fault::Protocol { major, minor });
                }
                let Some(packet) = received.get(..length) else { return Ok(Step::NeedMore) };
                Startup::read(packet, minor).map(Step::Startup)
            }
        }
    }
}

/// The length of the packet. Bytes that cannot become a fitting one are refused without waiting for the rest.
fn length(received: &[u8]) -> Result<Option<usize>, Fault> {
    let mut head = [0; 4];
    let there = received.len().min(head.len());
    head[..there].copy_from_slice(&received[..there]);
    let least = usize::try_from(u32::from_be_bytes(head)).map_err(|_| Fault::Length)?;
    if least > MAX_STARTUP || (there == head.len() && least < MIN_STARTUP) {
        return Err(Fault::Length);
    }
    Ok((there == head.len()).then_some(least))
}

/// One request for encryption of each kind, in clear, with nothing around it.
fn encryption(asked: &mut bool, in_tls: bool, length: usize, received: &[u8]) -> Result<(), Fault> {
    if length != REQUEST {
        return Err(Fault::Length);
    }
    if in_tls || std::mem::replace(asked, true) {
        return Err(Fault::EncryptionAgain);
    }
    if received.len() > REQUEST { Err(Fault::BytesBehind) } else { Ok(()) }
}

fn cancel(body: &[u8]) -> Option<Cancel> {
    let (pid, key) = body.split_first_chunk()?;
    Some(Cancel { pid: u32::from_be_bytes(*pid), key: key.to_vec() })
}

const TLS_HANDSHAKE: u8 = 22;
const MIN_STARTUP: usize = 8;
/// The length of an SSLRequest and of a GSSENCRequest.
const REQUEST: usize = 8;
const CANCEL_HEAD: usize = 12;
const CANCEL_LENGTHS: std::ops::RangeInclusive<usize> = CANCEL_HEAD + 4..=CANCEL_HEAD + 256;
const CANCEL_CODE: u32 = 80_877_102;
const SSL_CODE: u32 = 80_877_103;
const GSS_CODE: u32 = 80_877_104;
