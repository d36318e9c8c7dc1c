//! TLS of the server: certificate and key from files, by rustls with ring.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::config::TlsFiles;

/// Reads both files. TLS 1.2 and 1.3. Errors: a sentence that names the file.
pub(super) fn load(files: &TlsFiles) -> Result<ServerConfig, String> {
    let cannot = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        format!("cannot use the {what} {}: {error}", path.display())
    };
    let certificate = &files.certificate;
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| cannot("TLS certificate", certificate, &error))?;
    if chain.is_empty() {
        let error = "it holds no CERTIFICATE in PEM";
        return Err(cannot("TLS certificate", certificate, &error));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| cannot("TLS key", &files.key, &error))?;
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| cannot("TLS key", &files.key, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_empty_is_named() {
        let missing = TlsFiles {
            certificate: "there/is/none.pem".into(),
            key: "there/is/none.key".into(),
        };
        let error = load(&missing).expect_err("no such file");
        assert!(error.contains("there/is/none.pem"), "{error}");
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let error = load(&TlsFiles {
            certificate: manifest.into(),
            key: manifest.into(),
        })
        .expect_err("no PEM");
        assert!(error.contains("no CERTIFICATE"), "{error}");
    }
}
