//! The headers of requests and responses.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::wire::cbor::{Reader, Writer};
use crate::wire::{DecodeError, bare};

/// Longest path of a request in bytes that is read (ours; the reference sets no limit).
const MAX_PATH: usize = 4_096;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 0
    Get,
    /// 1
    Post,
    /// 2
    Put,
    /// 3
    Delete,
    /// 4
    Patch,
}

impl Method {
    const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Delete, Self::Patch];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The method with this number.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|method| u64::from(method.code()) == code)
    }

    /// Its name, as in HTTP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
        }
    }
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    Timeout,
    /// 409
    Conflict,
    /// 500
    InternalServerError,
    /// 501
    NotImplemented,
}

impl Status {
    const ALL: [Self; 10] = [
        Self::Ok,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Conflict,
        Self::InternalServerError,
        Self::NotImplemented,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::InternalServerError => 500,
            Self::NotImplemented => 501,
        }
    }

    /// The status with this number.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| u64::from(status.code()) == code)
    }
}

/// Header of a request.
///
/// ```cddl
/// request = {1: id, 2: path: tstr, 3: method: 0..4, 4: has_body: bool, ? 5: tracing}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Chosen at random by the client, not zero.
    pub id: u32,
    /// The resource, such as `/node`.
    pub path: String,
    /// What to do with it; none if the number is not known.
    pub method: Option<Method>,
    /// Whether a body follows.
    pub has_body: bool,
}

impl Request {
    /// The payload of this request; the header says whether there is a body.
    #[must_use]
    pub fn encode(&self, body: Option<&[u8]>) -> Vec<u8> {
        let mut writer = Writer::vec();
        let fields = 3 + usize::from(self.method.is_some());
        writer.map(fields);
        writer.unsigned(1).unsigned(self.id.into());
        writer.unsigned(2).text(&self.path);
        if let Some(method) = self.method {
            writer.unsigned(3).unsigned(method.code().into());
        }
        writer.unsigned(4).bool(body.is_some());
        payload(writer.into_sink(), body)
    }

    /// Reads a request and its body from a payload.
    ///
    /// # Errors
    /// [`DecodeError`]; also if a body follows where the header says that there is none.
    pub fn decode(payload: &[u8]) -> Result<(Self, Option<&[u8]>), DecodeError> {
        let content = bare::Reader::new(payload).data()?;
        let mut reader = Reader::new(content);
        let (mut id, mut path, mut method, mut has_body) = (None, None, None, None);
        let mut keys = reader.map()?;
        while keys.next(&mut reader)? {
            match reader.u64()? {
                1 => id = Some(reader.u32()?),
                2 => path = Some(reader.text_at_most(MAX_PATH)?.to_owned()),
                3 if !reader.null()? => method = Method::from_code(reader.u64()?),
                3 => {}
                4 => has_body = Some(reader.bool()?),
                _ => reader.skip()?,
            }
        }
        let header = Self {
            id: id.ok_or(DecodeError::MissingField("id"))?,
            path: path.ok_or(DecodeError::MissingField("path"))?,
            method,
            has_body: has_body.ok_or(DecodeError::MissingField("has_body"))?,
        };
        let body = body(&reader, header.has_body)?;
        Ok((header, body))
    }

    /// The parts of the path, without leading slashes.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.trim_start_matches('/').split('/')
    }
}

/// Header of a response.
///
/// ```cddl
/// response = {1: id, 2: re, ? 3: status, 4: has_body: bool}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Chosen at random by the server.
    pub id: u32,
    /// The request's id; 0 if it could not be read.
    pub re: u32,
    /// How it went; none, which is a failure, if it is absent or not known.
    pub status: Option<Status>,
    /// Whether a body follows.
    pub has_body: bool,
}

impl Response {
    /// The payload of this response; the header says whether there is a body.
    #[must_use]
    pub fn encode(&self, body: Option<&[u8]>) -> Vec<u8> {
        let mut writer = Writer::vec();
        let fields = 3 + usize::from(self.status.is_some());
        writer.map(fields);
        writer.unsigned(1).unsigned(self.id.into());
        writer.unsigned(2).unsigned(self.re.into());
        if let Some(status) = self.status {
            writer.unsigned(3).unsigned(status.code().into());
        }
        writer.unsigned(4).bool(body.is_some());
        payload(writer.into_sink(), body)
    }

    /// Reads a response and its body from a payload.
    ///
    /// The caller checks [`answers`](Self::answers), which the reference's client does not.
    ///
    /// # Errors
    /// [`DecodeError`]; also if a body follows where the header says that there is none.
    pub fn decode(payload: &[u8]) -> Result<(Self, Option<&[u8]>), DecodeError> {
        let content = bare::Reader::new(payload).data()?;
        let mut reader = Reader::new(content);
        let (mut id, mut re, mut status, mut has_body) = (None, None, None, None);
        let mut keys = reader.map()?;
        while keys.next(&mut reader)? {
            match reader.u64()? {
                1 => id = Some(reader.u32()?),
                2 => re = Some(reader.u32()?),
                3 if !reader.null()? => status = Status::from_code(reader.u64()?),
                3 => {}
                4 => has_body = Some(reader.bool()?),
                _ => reader.skip()?,
            }
        }
        let header = Self {
            id: id.ok_or(DecodeError::MissingField("id"))?,
            re: re.ok_or(DecodeError::MissingField("re"))?,
            status,
            has_body: has_body.ok_or(DecodeError::MissingField("has_body"))?,
        };
        let body = body(&reader, header.has_body)?;
        Ok((header, body))
    }

    /// Whether this is the response to `request`.
    #[must_use]
    pub const fn answers(&self, request: &Request) -> bool {
        self.re == request.id
    }

    /// Whether the request succeeded.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status == Some(Status::Ok)
    }
}

fn payload(mut header: Vec<u8>, body: Option<&[u8]>) -> Vec<u8> {
    header.extend_from_slice(body.unwrap_or_default());
    let mut out = Vec::with_capacity(bare::MAX_UINT_LEN + header.len());
    bare::write_data(&mut out, &header);
    out
}

fn body<'a>(reader: &Reader<'a>, has_body: bool) -> Result<Option<&'a [u8]>, DecodeError> {
    if has_body {
        return Ok(Some(reader.remaining()));
    }
    reader.finish()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            id: 7,
            path: "/a/b".into(),
            method: Some(Method::Post),
            has_body: true,
        }
    }

    #[test]
    fn requests_and_responses_come_back() {
        let payload = request().encode(Some(b"\x01"));
        assert_eq!(
            Request::decode(&payload),
            Ok((request(), Some(&b"\x01"[..])))
        );
        assert!(request().segments().eq(["a", "b"]));
        let response = Response {
            id: 9,
            re: 7,
            status: None,
            has_body: false,
        };
        let payload = response.encode(None);
        assert_eq!(Response::decode(&payload), Ok((response.clone(), None)));
        assert!(response.answers(&request()) && !response.is_ok());
    }

    #[test]
    fn responses_to_other_requests_do_not_answer() {
        let response = Response {
            id: 9,
            re: 8,
            status: Some(Status::Ok),
            has_body: false,
        };
        assert!(!response.answers(&request()));
    }

    #[test]
    fn bodies_that_the_header_denies_are_refused() {
        let mut content = Vec::new();
        let mut writer = Writer::new(&mut content);
        writer.map(3).unsigned(1).unsigned(1).unsigned(2).text("/");
        writer.unsigned(4).bool(false).null();
        let mut payload = Vec::new();
        bare::write_data(&mut payload, &content);
        assert_eq!(
            Request::decode(&payload),
            Err(DecodeError::TrailingBytes(1))
        );
    }

    #[test]
    fn unknown_numbers_are_absent_and_unknown_keys_skipped() {
        // {1: 7, 2: 8, 3: 299, 4: false, 5: [1]}
        let content = [0xa5, 1, 7, 2, 8, 3, 0x19, 0x01, 0x2b, 4, 0xf4, 5, 0x81, 1];
        let mut payload = Vec::new();
        bare::write_data(&mut payload, &content);
        let (response, _) = Response::decode(&payload).expect("valid");
        assert_eq!(response.status, None);
    }
}
