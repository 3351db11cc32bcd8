//! TLS at the listener, and callers by client certificate. The certificates are made by `openssl` for each test.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::json;
use tempfile::TempDir;

use crate::gateway::{Answer, Gateway, folder, modern, parse, refmon};

const ADA: &str = "spiffe://acme.example/agent/ada";

/// A folder of authorities and certificates.
struct Authority {
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let made = Self { folder: TempDir::new().unwrap() };
        for authority in ["ca", "foreign"] {
            let (key, out) = (made.at(&format!("{authority}.key")), made.at(&format!("{authority}.pem")));
            let subject = format!("/CN={authority}");
            let base = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
            openssl(&[&base[..], &["-subj", &subject, "-keyout", text(&key), "-out", text(&out)]].concat());
        }
        made.issue("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth", false);
        made
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes `name.pem` and `name.key` with these extensions.
    fn issue(&self, name: &str, authority: &str, extensions: &str, expired: bool) {
        let file = |suffix: &str| self.at(&format!("{name}.{suffix}"));
        let (key, request, out, extension) = (file("key"), file("csr"), file("pem"), file("ext"));
        fs::write(&extension, extensions).unwrap();
        let base =
            ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=ada"];
        openssl(&[&base[..], &["-keyout", text(&key), "-out", text(&request)]].concat());
        let (ca, ca_key) = (self.at(&format!("{authority}.pem")), self.at(&format!("{authority}.key")));
        if expired {
            // `x509` makes nothing that is over already; `ca` does, and wants its own files for it.
            let (config, index, folder) = (self.at("ca.cnf"), self.at("index.txt"), self.folder.path());
            let text_of = format!(
                "[ca]\ndefault_ca=d\n[d]\ndatabase={}\nnew_certs_dir={}\nrand_serial=yes\nunique_subject=no\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n",
                text(&index),
                text(folder)
            );
            fs::write(&config, text_of).unwrap();
            fs::write(&index, "").unwrap();
            let base = ["ca", "-batch", "-notext", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z"];
            let own = ["-config", text(&config), "-in", text(&request), "-out", text(&out), "-cert", text(&ca)];
            openssl(&[&base[..], &own, &["-keyfile", text(&ca_key), "-extfile", text(&extension)]].concat());
            return;
        }
        let sign = ["x509", "-req", "-days", "2", "-CAcreateserial", "-in", text(&request), "-out", text(&out)];
        let with = ["-CA", text(&ca), "-CAkey", text(&ca_key), "-extfile", text(&extension)];
        openssl(&[&sign[..], &with].concat());
    }

    fn client(&self, name: &str, authority: &str, names: &str, expired: bool) {
        self.issue(name, authority, &format!("subjectAltName={names}\nextendedKeyUsage=clientAuth"), expired);
    }

    fn config(&self, client: Option<&str>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.at("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        Arc::new(match client {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = vec![CertificateDer::from_pem_file(self.at(&format!("{name}.pem"))).unwrap()];
                let key = PrivateKeyDer::from_pem_file(self.at(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn openssl(arguments: &[&str]) {
    let out = Command::new("openssl").args(arguments).output().expect("these tests need the program openssl");
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Sends a request over TLS. `None` if the connection did not get as far as an answer.
fn ask(gateway: &Gateway, config: &Arc<ClientConfig>, request: &str) -> Option<Answer> {
    let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, gateway.connect());
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    let _cut = stream.read_to_end(&mut bytes).is_err();
    (!bytes.is_empty()).then(|| parse(&bytes))
}

fn call(gateway: &Gateway, extra: &[(&str, &str)]) -> String {
    let (headers, body) = modern("tools/call", json!({ "name": "echo", "arguments": { "text": "x" } }));
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.extend(extra);
    gateway.written("POST", &headers, &body)
}

fn listen(authority: &Authority, client_ca: bool) -> String {
    let client_ca = if client_ca { format!(", client_ca = {:?}", authority.at("ca.pem")) } else { String::new() };
    format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\ntls = {{ certificate = {:?}, key = {:?}{client_ca} }}\n",
        authority.at("server.pem"),
        authority.at("server.key")
    )
}

fn certificates(authority: &Authority) -> String {
    let mapped = format!(
        "[[identity.certificate]]\nsan = \"{ADA}\"\ntenant = \"acme\"\nuser = \"ada\"\nagent = \"ide\"\nscopes = [\"one:use\"]\n"
    );
    format!("[identity]\nkind = \"certificates\"\ntenant = \"acme\"\n{mapped}{}", listen(authority, true))
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn a_mapped_certificate_is_its_caller_and_no_other_is_anybody() {
    let authority = Authority::new();
    authority.client("ada", "ca", &format!("URI:{ADA}"), false);
    authority.client("eve", "ca", "URI:spiffe://acme.example/agent/eve", false);
    authority.client("none", "ca", "DNS:ada", false);
    authority.client("both", "ca", &format!("URI:{ADA},URI:spiffe://acme.example/agent/eve"), false);
    authority.client("stranger", "foreign", &format!("URI:{ADA}"), false);
    authority.client("expired", "ca", &format!("URI:{ADA}"), true);
    authority.issue("wrong-use", "ca", &format!("subjectAltName=URI:{ADA}\nextendedKeyUsage=serverAuth"), false);
    let gateway = Gateway::start(&[("one", "modern")], &certificates(&authority));
    let by = |name: Option<&str>| ask(&gateway, &authority.config(name, BOTH), &call(&gateway, &[]));
    assert_eq!(by(Some("ada")).unwrap().text(), "x");
    // In order, but nobody's: the handshake is done, and no request is.
    for name in ["eve", "none", "both"] {
        let answer = by(Some(name)).unwrap();
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
    }
    // Not in order: there is no answer at all.
    for name in [None, Some("stranger"), Some("expired"), Some("wrong-use")] {
        assert_eq!(by(name), None, "{name:?}");
    }
    // The certificate is the one credential, and no header makes another caller.
    let ada = authority.config(Some("ada"), BOTH);
    let two = ask(&gateway, &ada, &call(&gateway, &[("authorization", "Bearer x")])).unwrap();
    assert_eq!(two.status, 401, "{two:?}");
    let eve = authority.config(Some("eve"), BOTH);
    for header in ["x-forwarded-client-cert", "x-client-cert-san", "ssl-client-s-dn"] {
        assert_eq!(ask(&gateway, &eve, &call(&gateway, &[(header, ADA)])).unwrap().status, 401, "{header}");
    }
    assert_eq!(gateway.log("one").len(), 1, "only the one call ran");
    let out = refmon(gateway.folder(), &["--json", "audit", "search", "--kind", "attempt"]).output().unwrap();
    let records: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(
        (records.as_array().map(Vec::len), &records[0]["identity"]),
        (Some(1), &json!("certificate")),
        "{records}"
    );
}

#[test]
fn tls_is_spoken_from_1_2_on_and_plain_http_is_not() {
    let authority = Authority::new();
    let config = format!("[identity]\nuser = \"u\"\nscopes = [\"one:use\"]\n{}", listen(&authority, false));
    let gateway = Gateway::start(&[("one", "modern")], &config);
    for version in BOTH {
        let answer = ask(&gateway, &authority.config(None, &[version]), &call(&gateway, &[])).unwrap();
        assert_eq!(answer.text(), "x", "{version:?}");
    }
    // A hello of TLS 1.1, written by hand: no library of today sends one. The answer is the alert `protocol_version`.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0xc0, 0x09, 1, 0, 0, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    for bytes in [record, call(&gateway, &[]).into_bytes()] {
        let mut stream = gateway.connect();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let _cut = stream.read_to_end(&mut answer).is_err();
        assert!(!answer.starts_with(b"HTTP") && answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");
    }
    assert_eq!(gateway.log("one").len(), 2);
}

#[test]
fn a_client_that_is_slow_with_the_handshake_keeps_nobody_waiting_and_is_let_go() {
    let authority = Authority::new();
    let config = format!("[identity]\nuser = \"u\"\nscopes = [\"one:use\"]\n{}", listen(&authority, false));
    let gateway = Gateway::start(&[("one", "modern")], &config);
    let mut idle: Vec<TcpStream> = (0..50).map(|_| gateway.connect()).collect();
    for stream in &mut idle {
        stream.write_all(&[22, 3, 1]).unwrap();
    }
    let answer = ask(&gateway, &authority.config(None, BOTH), &call(&gateway, &[])).unwrap();
    assert_eq!(answer.text(), "x");
    for mut stream in idle {
        // Their end comes from the gateway: a read that only runs out of patience is an error of another kind.
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

#[test]
fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let config = format!("[identity]\nuser = \"u\"\nscopes = [\"one:use\"]\n{}", listen(&authority, false));
    let gateway = Gateway::start(&[("one", "modern")], &config);
    let client = authority.config(None, BOTH);
    assert_eq!(ask(&gateway, &client, &call(&gateway, &[])).unwrap().text(), "x");
    let (certificate, whole) = (authority.at("server.pem"), fs::read(authority.at("server.pem")).unwrap());
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nbroken\n").unwrap();
    assert_eq!(ask(&gateway, &client, &call(&gateway, &[])).unwrap().text(), "x", "the last one that could stays");
    // One of an authority that the client does not know shows that the files are read again.
    authority.issue("server", "foreign", "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth", false);
    assert_eq!(ask(&gateway, &client, &call(&gateway, &[])), None);
    fs::write(&certificate, whole).unwrap();
}

#[test]
fn what_does_not_go_together_does_not_start() {
    let authority = Authority::new();
    let with_ca = listen(&authority, true);
    let plain = listen(&authority, false);
    let swapped = plain.replace("server.key", "ca.key");
    let missing = plain.replace("server.pem", "nothing.pem");
    let outside = plain.replace("127.0.0.1:0", "0.0.0.0:0");
    for (extra, says) in [
        (with_ca.clone(), "go together"),
        (format!("[identity]\nkind = \"certificates\"\n{plain}"), "go together"),
        (format!("[identity]\nkind = \"certificates\"\n{with_ca}"), "[[identity.certificate]]"),
        (format!("[identity]\nkind = \"keys\"\n{}behind_tls = true\n", plain), "behind_tls"),
        (swapped, "do not go together"),
        (missing, "nothing.pem"),
        (outside, "kind = \"local\""),
    ] {
        let folder = folder(&[("one", "legacy")], &extra);
        let out = refmon(folder.path(), &["serve"]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{extra}: {text}");
        assert!(text.contains(says), "{extra}: {text}");
    }
}
