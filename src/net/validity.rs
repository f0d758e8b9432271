//! What a certificate says of itself: whose it is, and until when. Whether anybody believes it is for clients to say.

use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, Error, KeyUsage};

/// From here on the operator is told: what renews certificates does so with a month left, and has failed by now.
pub const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const DAY: u64 = 24 * 60 * 60;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The DNS names, wildcards too.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_after: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Far,
    /// Whole days that are left.
    Soon {
        days: u64,
    },
    Over,
}

impl Validity {
    /// webpki, which rustls judges certificates with, is strict and in the program already, so there is no second reader
    /// of X.509 here. It keeps the dates to itself; but asked for a day that is later than every date there is, it
    /// answers that the certificate will have expired, and when. That is looked at before who signed it.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Validity, String> {
        let read = EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
        let the_last_day = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
        let for_a_server = KeyUsage::server_auth();
        match read.verify_for_usage(&[], &[], &[], the_last_day, for_a_server, None, None).err() {
            Some(Error::CertExpired { not_after, .. }) => Ok(Validity {
                names: read.valid_dns_names().map(str::to_string).collect(),
                not_after: not_after.as_secs(),
            }),
            Some(other) => Err(other.to_string()),
            None => Err("does not say until when it is valid".into()),
        }
    }

    /// How things stand at `now`, counted from 1970.
    pub fn expiry(&self, now: Duration) -> Expiry {
        // It is valid up to and including the second that it names (RFC 5280 4.1.2.5).
        match self.not_after.checked_sub(now.as_secs()) {
            None => Expiry::Over,
            Some(left) if left > SOON.as_secs() => Expiry::Far,
            Some(left) => Expiry::Soon { days: left / DAY },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};

    fn of(change: impl FnOnce(&mut CertificateParams)) -> Result<Validity, String> {
        let mut params = CertificateParams::new(vec!["a.test".to_string(), "*.b.test".to_string()]).unwrap();
        change(&mut params);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Validity::of(made.der())
    }

    fn years(params: &mut CertificateParams, first: i32, last: i32) {
        params.not_before = date_time_ymd(first, 1, 1);
        params.not_after = date_time_ymd(last, 1, 1);
    }

    #[test]
    fn names_and_dates() {
        let check = |change: fn(&mut CertificateParams), not_after: u64, names: &[&str]| {
            assert_eq!(
                of(change),
                Ok(Validity { names: names.iter().map(|name| name.to_string()).collect(), not_after })
            );
        };
        let both = &["a.test", "*.b.test"];
        // UTCTime, GeneralizedTime, and the date that stands for none (RFC 5280 4.1.2.5).
        check(|it| it.not_after = date_time_ymd(2030, 3, 1), 1_898_553_600, both);
        check(|it| it.not_after = date_time_ymd(2060, 1, 1), 2_840_140_800, both);
        check(|it| it.not_after = date_time_ymd(9999, 12, 31), 253_402_214_400, both);
        // One that is over, or not valid yet; one made for something else, and an authority's own: only dates count.
        check(|it| years(it, 2001, 2002), 1_009_843_200, both);
        check(|it| years(it, 2090, 2091), 3_818_448_000, both);
        check(
            |it| {
                it.not_after = date_time_ymd(2060, 1, 1);
                it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                it.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            },
            2_840_140_800,
            both,
        );
        let for_an_address = |it: &mut CertificateParams| {
            *it = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
            it.not_after = date_time_ymd(2060, 1, 1);
        };
        check(for_an_address, 2_840_140_800, &[]);
        assert!(of(|it| years(it, 2003, 2002)).is_err());
        assert!(Validity::of(&CertificateDer::from(vec![0x30, 0x00])).is_err());
    }

    #[test]
    fn two_weeks_are_soon() {
        let validity = Validity { names: Vec::new(), not_after: 100 * DAY };
        let check = |seconds: u64, wanted: Expiry| {
            assert_eq!(validity.expiry(Duration::from_secs(seconds)), wanted, "{seconds}");
        };
        check(0, Expiry::Far);
        check(86 * DAY - 1, Expiry::Far);
        check(86 * DAY, Expiry::Soon { days: 14 });
        check(86 * DAY + 1, Expiry::Soon { days: 13 });
        check(100 * DAY - 1, Expiry::Soon { days: 0 });
        check(100 * DAY, Expiry::Soon { days: 0 });
        check(100 * DAY + 1, Expiry::Over);
    }
}
