//! How many connections at a time, and how fast they may come: of the process, a listener, a route.

use super::error::Complaint;
use super::rate::{self, Example};
use super::section::Section;
use super::source::Needed;
use super::value::{Value, or_none};
use crate::meter::Rate;
use crate::net::descriptors::MaxConnections;
use crate::policy::crowd::CrowdLimits;

/// More than a machine has ports and descriptors for.
const MAX_SEATS: u64 = 1_000_000_000;

pub fn of_the_process(top: &mut Section<'_>) -> MaxConnections {
    let read = |value: &Value<'_>| {
        if value.is_none() {
            return Ok(MaxConnections::Unlimited);
        }
        if value.is_text() && value.text()? == "auto" {
            return Ok(MaxConnections::Auto);
        }
        let number = fitting_number(value).map_err(|complaint| {
            complaint.hint("write \"auto\" for as many as there are descriptors for, a number, or \"none\"")
        })?;
        Ok(MaxConnections::AtMost(number))
    };
    top.read("max_connections", MaxConnections::Auto, read)
}

pub fn of_a_listener(section: &mut Section<'_>, base: CrowdLimits) -> CrowdLimits {
    let seats = seats(section, base);
    CrowdLimits { handshakes: handshakes(section, "handshakes_per_ip", base.handshakes), ..seats }
}

/// Of a route, whose keys stand in two tables.
pub fn of_a_route(limits: &mut Section<'_>, rate: &mut Section<'_>, base: CrowdLimits) -> CrowdLimits {
    CrowdLimits { handshakes: handshakes(rate, "handshakes", base.handshakes), ..seats(limits, base) }
}

/// `max_connections` and `max_connections_per_ip`; the rest of `base` stays.
fn seats(section: &mut Section<'_>, base: CrowdLimits) -> CrowdLimits {
    CrowdLimits {
        max_connections: section.read("max_connections", base.max_connections, or_none(fitting_number)),
        max_connections_per_ip: section.read(
            "max_connections_per_ip",
            base.max_connections_per_ip,
            or_none(number),
        ),
        ..base
    }
}

/// Of one client.
fn handshakes(section: &mut Section<'_>, key: &'static str, base: Option<Rate>) -> Option<Rate> {
    let example = Example { per_second: "10", burst: "50" };
    rate::read(section, key, base, example, rate::count, |_, rate| rate)
}

/// A number of connections for which there have to be descriptors.
fn fitting_number(value: &Value<'_>) -> Result<u32, Complaint> {
    let connections = number(value)?;
    value.source().need(Needed::Descriptors { connections, at: value.place().clone() });
    Ok(connections)
}

fn number(value: &Value<'_>) -> Result<u32, Complaint> {
    Ok(u32::try_from(value.number(1..=MAX_SEATS)?).unwrap_or(u32::MAX))
}
