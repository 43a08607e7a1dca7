//! stub
use http::*;
/// s
pub struct Cors;
impl Cors {
    #[allow(missing_docs)]
    pub fn new(_c: &crate::config::Cors) -> Self {
        Self
    }
}
impl Cors {
    /// s
    pub fn preflight(&self, _m: &Method, _h: &HeaderMap) -> Option<Response<()>> {
        None
    }
    /// s
    pub fn apply(&self, _o: Option<&HeaderValue>, _h: &mut HeaderMap) {}
}
