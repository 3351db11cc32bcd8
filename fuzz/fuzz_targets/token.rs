//! Credentials: whatever stands in the `Authorization` header, nobody is let in and nothing panics. The fuzzer has
//! neither a key of the issuer nor an API key.
#![no_main]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use refmon_core::ids::TenantId;
use refmon_core::ports::Moment;
use refmon_identity::Authenticator;
use refmon_identity::fetch::{Fetch, FetchError};
use refmon_identity::resource::Resource;
use refmon_identity::token::{Issuer, TenantFrom};
use url::Url;

const ISSUER: &str = "https://id.example";
const DISCOVERY: &str = r#"{"issuer":"https://id.example","jwks_uri":"https://id.example/keys"}"#;
/// The key of RFC 8037, appendix A.2, without its private part.
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

#[derive(Debug)]
struct Documents;

impl Fetch for Documents {
    fn get<'a>(&'a self, url: &'a Url) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send + 'a>> {
        let document = if url.path() == "/keys" { KEYS } else { DISCOVERY };
        Box::pin(std::future::ready(Ok(document.as_bytes().to_vec())))
    }
}

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let audience = Resource::parse("https://gate.example/mcp").expect("a URL");
    let tenant = TenantFrom::Fixed(TenantId::parse("acme").expect("an identifier"));
    let issuer = Issuer::new(ISSUER, audience, tenant).expect("an issuer");
    let fetch: Arc<dyn Fetch> = Arc::new(Documents);
    Authenticator::new(None, None, vec![issuer], &fetch).expect("a way in")
});

fuzz_target!(|bytes: &[u8]| {
    let now = Moment { unix_us: 1_795_000_000_000_000, monotonic_ns: 1_000_000_000 };
    for credential in [bytes.to_vec(), [b"Bearer ", bytes].concat()] {
        let values: [&[u8]; 1] = [&credential];
        let mut answer = Box::pin(AUTHENTICATOR.authenticate(&values, now));
        let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing is waited for: the documents are there at once");
        };
        let refused = answer.expect_err("nobody has a credential here");
        assert!(!refused.to_string().is_empty() && refused.status() == 401);
    }
});
