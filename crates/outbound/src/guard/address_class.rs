//! Says what kind of address an address is.
//!
//! Knows no allow-list: whether a kind may be reached is the guard's decision. The lists follow the IANA registries of
//! special-purpose addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What kind of address an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// An ordinary address on the internet.
    Public,
    /// `0.0.0.0/8`, `::`: this host or this network.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918, IPv6 unique local and site-local.
    Private,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `100.64.0.0/10`, shared by a provider's customers.
    CarrierNat,
    /// The address at which a cloud tells a machine about itself, often with its credentials.
    Metadata,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// Addresses that stand in documents only.
    Documentation,
    /// `198.18.0.0/15`, `2001:2::/48`.
    Benchmarking,
    /// NAT64, 6to4 and Teredo: the packet ends at an IPv4 address that is written inside.
    Translation,
    /// Assigned to protocols or to nobody, broadcast included.
    Reserved,
}

impl AddressClass {
    /// Sorts a canonical address into its class.
    pub(super) fn of(addr: IpAddr) -> AddressClass {
        match addr {
            IpAddr::V4(addr) => of_v4(addr),
            IpAddr::V6(addr) => of_v6(addr),
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressClass::Public => "it is public",
            AddressClass::Unspecified => "it is unspecified",
            AddressClass::Loopback => "it is a loopback address",
            AddressClass::Private => "it is private",
            AddressClass::LinkLocal => "it is link-local",
            AddressClass::CarrierNat => "it belongs to a provider's inner network",
            AddressClass::Metadata => "it belongs to a metadata service",
            AddressClass::Multicast => "it is a multicast address",
            AddressClass::Documentation => "it is reserved for documentation",
            AddressClass::Benchmarking => "it is reserved for benchmarks",
            AddressClass::Translation => "it stands for an IPv4 address",
            AddressClass::Reserved => "it is reserved",
        })
    }
}

/// The address as the network sees it: `::ffff:a.b.c.d` and the old `::a.b.c.d` are `a.b.c.d`.
pub(super) fn canonical(addr: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = addr else {
        return addr;
    };
    let is_own_class = v6.is_unspecified() || v6.is_loopback();
    match v6.to_ipv4() {
        Some(v4) if !is_own_class => IpAddr::V4(v4),
        _ => addr,
    }
}

/// The IPv4 address to which a translator would send what is sent to `addr`, where the prefix alone tells it.
pub(super) fn embedded(addr: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(addr) = addr else {
        return None;
    };
    let word = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match addr.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(word(high, low)),
        _ => None,
    }
}

fn of_v4(addr: Ipv4Addr) -> AddressClass {
    match addr.octets() {
        // Amazon and most others, Alibaba, Oracle; Azure's lies in public space and answers inside only.
        [169, 254, 169, 254] | [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => {
            AddressClass::Metadata
        }
        [0, ..] => AddressClass::Unspecified,
        [127, ..] => AddressClass::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressClass::Private,
        [169, 254, ..] => AddressClass::LinkLocal,
        [100, 64..=127, ..] => AddressClass::CarrierNat,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressClass::Documentation,
        [198, 18..=19, ..] => AddressClass::Benchmarking,
        [192, 88, 99, _] => AddressClass::Translation,
        [224..=239, ..] => AddressClass::Multicast,
        [192, 0, 0, _] | [240..=255, ..] => AddressClass::Reserved,
        _ => AddressClass::Public,
    }
}

fn of_v6(addr: Ipv6Addr) -> AddressClass {
    match addr.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // Amazon's and Google's.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => {
            AddressClass::Metadata
        }
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] | [0x2002, ..] => {
            AddressClass::Translation
        }
        [0x2001, 2, 0, ..] => AddressClass::Benchmarking,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Documentation,
        [0x2001, 0..=0x1ff, ..] => AddressClass::Reserved,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressClass::Private,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        // Global unicast is handed out from 2000::/3 alone.
        _ => AddressClass::Reserved,
    }
}
