//! stub
use http::*;
use std::pin::Pin;
/// s
pub fn accepts_gzip(_h: &HeaderMap) -> bool {
    false
}
/// s
pub fn should_compress(_s: StatusCode, _h: &HeaderMap, _z: &http_body::SizeHint, _m: &Method) -> bool {
    false
}
/// s
pub fn announce(_h: &mut HeaderMap) {}
/// s
pub struct Gzip<B>(B);
impl<B> Gzip<B> {
    /// s
    pub fn new(b: B) -> Self {
        Self(b)
    }
}
impl<B: http_body::Body<Data = bytes::Bytes> + Unpin> http_body::Body for Gzip<B> {
    type Data = bytes::Bytes;
    type Error = B::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::result::Result<http_body::Frame<bytes::Bytes>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}
