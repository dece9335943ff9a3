//! The kinds of record that matter to whoever runs the program: those that an alarm, a filter or a manual wants to name.
//!
//! A record says its kind in a field: `info!(kind = Kind::Stopped.id(), "stopped")`. People are not shown it; the journal
//! gets it as the record's `MESSAGE_ID`, by which `journalctl -x` finds what [`catalog()`](super::catalog()) says about it. An id stays
//! the same for ever: others filter by it. Each warning and each error has a kind; debug records need none.

/// Makes the enum and the list of all that it has, so that none can be forgotten.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $id:literal,)+) => {
        /// A kind of record, by the 128 bits that name it in the journal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u128)]
        pub enum Kind {
            $($(#[$doc])* $kind = $id,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];
        }
    };
}

kinds! {
    /// A client got its 101, and its bytes flow.
    SessionOpened = 0x74c84a43_8f19_4c2e_a709_319fa2d6c5ff,
    /// The last word about a session.
    SessionEnded = 0x3e39ec05_8797_4e1e_a82d_0417b911468c,
    /// A request for a session that is not one.
    RequestRefused = 0x78b1ea46_2555_47ac_96aa_e538cba3ef81,
    /// A right request, and a target that cannot be reached.
    TargetUnreachable = 0xb26b063a_8829_4194_a617_bf95a758ac90,
    /// A client without a token, or with one that stands for nothing.
    TokenRefused = 0xf624ae5e_90b3_4e95_9be2_7f811bc0effd,
    /// Where tokens are looked up cannot say what one stands for.
    TokenSourceFailed = 0xb11b7821_c32e_4348_89a5_10bf9fe5c9d4,
    /// A target that its route does not allow.
    TargetNotAllowed = 0x8452308b_ed07_4a5a_82e5_66cecd196451,
    /// Changed tokens, or a changed key, are in force.
    TokensRenewed = 0xb9db61b8_5271_45cd_a97e_6690d9cf951a,
    /// Changed tokens, or a changed key, cannot be used.
    TokensUnusable = 0x3b3001f5_1b45_4b4a_b93e_77e87ee19525,
    /// A token was made for somebody.
    GrantMade = 0xc10746b8_4539_4b55_8908_5b95c269c2a1,
    /// A session has begun by such a token.
    GrantUsed = 0xd913c1de_d6a1_45d5_a38b_2d1602f23ec5,
    /// Such a token was not used up in time.
    GrantExpired = 0x7c62986f_73bf_4a83_9577_1a1e0415225f,
    /// Somebody asked for such a token and got none.
    GrantRefused = 0xe7c0b407_575d_4e5f_92b8_a44d86ecd3ce,
    /// A control socket that cannot be made.
    ControlUnusable = 0x81804e6c_3d3e_427b_b249_d929ab743073,
    /// An address has as many connections as one may have.
    AddressFull = 0x20656979_6da4_4631_ab79_1da001858d1a,
    /// A client that has not shown what its route asks for.
    AccessRefused = 0xc1f9836d_cd9d_4146_bd21_2410ffa79b49,
    /// Who a client is cannot be found out.
    AccessUnknown = 0x154b2636_0c71_446e_88e7_4a1b54232913,
    /// An address that was wrong too often.
    AddressBlocked = 0x40e4eded_aa9b_4b7f_b43e_0aa7f2bdf740,
    /// Passwords that come without TLS.
    PasswordsInClear = 0xaa8dc111_67a1_4979_9311_c48cb3e90686,
    /// Changed users are in force.
    UsersRenewed = 0x4fbbb046_9a37_403d_b628_cf98c11272bc,
    /// Changed users cannot be used.
    UsersUnusable = 0xd032a0ca_b100_44bc_aaa0_af90c40bc3b1,
    /// A client whose address may not connect.
    ClientDenied = 0x089a59c6_18a5_4114_9051_2d48bb768de9,
    /// A client whose certificate is not believed, or names nobody who may have a session.
    CertificateRefused = 0xaa2091f4_8a04_4465_983c_53d00798d29a,
    /// A trusted proxy that does not say, or not in a readable way, whose connection it passes on.
    ProxyDisbelieved = 0x8bf1bcdc_c3ff_4b6b_9357_4a0d035da889,
    /// A proxy that speaks the PROXY protocol where nobody expects it.
    ProxyUnexpected = 0x39e935e8_d89e_404f_8bd0_2b964863f5b4,
    /// A route that does not check the certificates of its targets.
    TargetsUnchecked = 0x75108dc7_ca7d_421d_9d56_683330210aca,
    /// A client that the kernel was to keep away.
    KernelCheckMissing = 0xef41b0fd_edc0_402b_9ff6_15f4b2d6aaf2,
    /// A client of a route that is out of order.
    OutOfOrder = 0x69de5304_6c3f_4c53_b499_7fec98e1ada3,
    /// A route whose file is broken, and whose sockets say so.
    RouteOutOfOrder = 0x4204d8a5_8ea6_4996_9a82_890449b3a2e1,
    /// systemd passed other sockets than the route's file wants.
    ListenDiffers = 0x68cafd15_3187_445a_8b0f_a65e94c8b03d,
    /// systemd passed something that nobody can be accepted from.
    SocketUnusable = 0xaef7661b_7e1f_448b_915b_3bdf900b7b02,
    /// The units were made of another version of the route's file.
    UnitOutdated = 0x2ab7d58a_99ec_4891_875a_c18f4298b31b,
    /// The kernel would not let a worker wait for a connection.
    ConnectionUnserved = 0x41b587f9_7f1c_44c2_9571_5b66af753110,
    /// Clients can connect.
    Listening = 0x91d22d20_2e9d_417e_bb03_6e1501b7fac0,
    /// A reload took an address out of service.
    ListeningOver = 0x586cdcd4_3215_4699_beba_a03db7f05649,
    /// A route has as many connections as it may have.
    RouteFull = 0xe816259d_194d_4c05_a8d1_802ab2434906,
    /// And has room again.
    RouteHasRoom = 0xe150202a_29f6_45e3_99fd_e310f5963f93,
    /// The kernel gives no more sockets.
    AcceptShortage = 0x98a8620a_4bb0_4ecd_ac20_1037a54fde10,
    /// And gives them again.
    AcceptResumed = 0xee533842_c7d9_415f_abe1_e20056c1db2e,
    /// A reload took the new configuration into service.
    ReloadDone = 0x74e2d42a_7a7c_47be_9d55_be94c50e4fcb,
    /// A reload found a mistake, this one.
    ConfigurationMistake = 0xaa4c921f_c19b_4813_a327_428577621ce6,
    /// A reload changed nothing, for what the records before it say.
    ReloadFailed = 0xeadd3aec_299a_49c8_b123_b6db76f2bbce,
    /// The program ends by itself, as it was told to at its start.
    LifetimeOver = 0xe5faad9a_fca5_487d_bac0_d410665eb294,
    /// The program was told to stop.
    Stopping = 0x892a9d38_6676_41bc_aa41_8d07d17d3897,
    /// Sessions that did not end while the program stops.
    SessionsCut = 0x3fd59e16_a932_4bd2_bfdc_d1d770210c3e,
    /// The last record.
    Stopped = 0xc7c16a03_9e02_4116_9376_f72b5bb043a3,
    /// A changed certificate is in service.
    CertificateRenewed = 0x0b85f2df_11e0_468e_8995_c239e82d40b5,
    /// A changed certificate cannot be used.
    CertificateUnusable = 0xb6a5f7d5_e399_46cd_a1aa_ab095f79d444,
    /// A certificate whose time is nearly over.
    CertificateExpiring = 0x98694bcb_3740_4474_9dca_b949a6647439,
    /// A certificate whose time is over.
    CertificateExpired = 0xc43c1426_4b01_4e27_8fa3_119e82858fce,
    /// A session's recording has begun.
    RecordingBegun = 0x143da3fb_2998_44f6_9687_92f6b62141cb,
    /// A recording that ends before its session, or never begins.
    RecordingCut = 0x308bc743_58ac_44c8_82f2_3496a35606ee,
    /// Recordings that could not be completed while the program ended.
    RecordingsIncomplete = 0xb161f5ba_af78_440e_9f78_4ce35f04eafb,
    /// Old recordings that could not be removed.
    RotationFailed = 0x44c89183_079d_4ff3_9590_031f2c994c82,
    /// A recording that is played, and is damaged or gone.
    ReplayFailed = 0xa37dd169_d4a0_4e0e_8542_03a379c0bda2,
    /// The program may open fewer descriptors than it may need.
    DescriptorsScarce = 0xae19971c_babb_46c6_9e4f_f9efc21eddf3,
    /// `exit-idle` of a route whose socket is the program's own.
    ExitIdleUnused = 0x686e2231_904a_42b1_a2d6_b25677713d88,
    /// A panic.
    Bug = 0x6782695e_4342_4a3e_b51e_24286aae0830,
    /// What stood in the way of a start.
    StartFailed = 0xd0262ae2_f8cd_47a4_a084_570a90d02851,
    /// The log file takes no more records.
    LogFileFailing = 0x4e58a581_a8a6_41c9_a935_b16594e4b43b,
    /// Records are missing before this one.
    RecordsDropped = 0xcb2a91ee_822d_4353_b700_cc16e697fbae,
    /// A wrapped program was started.
    ProgramStarted = 0xf50dfb51_efc8_4aea_8e06_5675b091f544,
    /// A line that a wrapped program wrote.
    ProgramOutput = 0x8dbc0180_e1b7_4ef3_9b9e_d5c83705653c,
    /// A wrapped program has ended.
    ProgramEnded = 0x5c776689_d19b_411d_8e36_9b027098514b,
    /// A wrapped program ends so fast that it is started again only after a while.
    ProgramTooFast = 0x686f37af_6554_4c97_b162_41d377268fa2,
    /// A wrapped program could not be started again.
    ProgramNotStarted = 0x63446290_2c2a_4a9f_84e1_3fd2c110060e,
    /// systemd was to run a route's program, and the program does not run.
    ProgramUnitFailed = 0x5b8998b4_941a_437e_99d5_28455f11745b,
    /// A program that systemd runs has ended.
    ProgramUnitEnded = 0xefa3b333_e03c_43dc_be1c_ca05ea14d291,
    /// A program that systemd runs ends so fast that it is started again only after a while.
    ProgramUnitPaced = 0x13d7589b_4d7d_49b8_886c_d33d700a8917,
    /// A program that systemd runs goes on under a new daemon.
    ProgramTakenOver = 0xfe9d7238_56cf_4a19_9d66_1bbc2e06b507,
    /// What systemd runs beside a program has failed.
    ProgramHelperFailed = 0x0d6fcef3_191f_410e_8e34_0275619589e5,
    /// A wrapped program whose port was taken by somebody else.
    ProgramPortLost = 0xfab3592a_84ac_40e7_9072_f372ef9a2c80,
    /// A wrapped program whose port cannot be moved.
    ProgramNotMoved = 0x28e93754_b993_4420_8aab_e895ad0068cd,
    /// The daemon ends its wrapped program.
    ProgramStopping = 0x6af1cedc_5d3b_43d6_afe0_d59b15441c64,
    /// A wrapped program did not end when it was asked to.
    ProgramKilled = 0xf02d1cc9_2913_4715_8e3e_cbfe1f0bc0e5,
}

impl Kind {
    /// What stands in a record's `kind` field.
    pub const fn id(self) -> u128 {
        self as u128
    }

    /// The kind of that id.
    pub(super) fn of(id: u128) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.id() == id)
    }

    /// Whether it tells of the program's own life, which is seldom and means something: syslog calls that a notice.
    pub(super) fn is_notice(self) -> bool {
        matches!(
            self,
            Self::Listening
                | Self::ListeningOver
                | Self::ReloadDone
                | Self::LifetimeOver
                | Self::Stopping
                | Self::Stopped
                | Self::CertificateRenewed
                | Self::TokensRenewed
                | Self::UsersRenewed
                | Self::AcceptResumed
                | Self::ProgramStarted
                | Self::ProgramEnded
                | Self::ProgramStopping
                | Self::ProgramTakenOver
                | Self::ProgramUnitEnded
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_random_and_no_two_are_the_same() {
        let ids: HashSet<u128> = Kind::ALL.iter().map(|kind| kind.id()).collect();
        assert_eq!(ids.len(), Kind::ALL.len());
        for id in ids {
            // What RFC 9562 says of a random one, and `systemd-id128 new` makes.
            assert_eq!((id >> 76 & 0xF, id >> 62 & 0x3), (4, 2), "{id:032x}");
        }
    }

    #[test]
    fn a_kind_is_found_by_its_id() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.id()), Some(*kind));
        }
        assert_eq!(Kind::of(0), None);
    }
}
