"""Each file of firmware-config/ and systemd/, and the test that fails if it does not do its work.

test_exercised.py holds both folders against these tables, and spoils each file to see.
"""

LANGUAGES = ("en", "ru", "kk", "be", "my")
FIRMWARE = {
    "apply.sh": "test_firmware.py::test_a_second_run_changes_nothing",
    "boot/cmdline.txt": "test_firmware.py::test_boot_files_are_merged",
    "boot/config.txt": "test_firmware.py::test_boot_files_are_merged",
    "boot/linewatch-example.toml": "test_firmware_cards.py::test_the_example_is_right",
    "cloud-init/99-linewatch.cfg": "test_firmware.py::test_cloud_inits_log_is_beside_no_other",
    "cloud-init/meta-data": "test_firmware.py::test_cloud_init_takes_its_files",
    "cloud-init/network-config": "test_firmware.py::test_cloud_init_takes_its_files",
    "cloud-init/user-data": "test_firmware.py::test_cloud_init_knows_every_key",
    "etc/70-linewatch-usb.link": "test_firmware_network.py::test_the_link_file_is_understood",
    "etc/journald.conf": (
        "test_firmware.py::test_the_journal_stays_in_memory_wherever_it_could_go"
    ),
    "etc/swap.conf": "test_firmware_folder.py::test_swap_stays_in_memory",
    "etc/system.conf": "test_firmware.py::test_managers_settings",
    "etc/timesyncd.conf": "test_firmware.py::test_time_settings",
    "fleet.md": "test_firmware_folder.py::test_the_pages_commands_have_these_options",
    "fstab.txt": "test_firmware.py::test_fstab",
    "image-gen/linewatch-probe.yaml": "test_firmware_image.py::test_the_layer_does_what_apply_does",
    "image-gen/linewatch.yaml": "test_firmware_image.py::test_the_image_uses_the_layer",
    "imager-manifest": "test_firmware_image.py::test_a_manifest_fits_its_image",
    "masks.txt": "test_firmware.py::test_masks",
    "networkmanager/99-linewatch.conf": "test_firmware_network.py::test_networkmanagers_settings",
    "networkmanager/linewatch-fixed.nmconnection": "test_firmware_network.py::test_every_route",
    "networkmanager/linewatch-mobile.nmconnection": "test_firmware.py::test_profiles_are_loaded",
    "networkmanager/linewatch-usb.nmconnection": "test_firmware_network.py::test_every_route",
    "packages.txt": "test_firmware.py::test_packages_exist_and_are_not_missed",
    "README.md": "test_firmware_folder.py::test_the_index_names_every_part",
    "seed-card": "test_firmware_cards.py::test_two_hundred_cards",
    **{
        f"volunteer/{code}.md": "test_firmware_folder.py::test_a_page_says_what_english_says"
        for code in LANGUAGES
    },
}
_RESET = "test_modems.py::test_the_agent_s_user_may_have_a_modem_reset"
_UPDATE = "test_package_update.py::test_a_release_is_taken_tried_and_proved"
_LOST = "test_unit_files.py::test_a_system_that_lost_user_and_folders_gets_them_back"
_HANG = "test_agent_unit.py::test_a_hang_is_ended_by_the_watchdog_and_told"
_SERVER = "test_wiring.py::test_the_server_starts_and_is_ready_when_its_pages_are_open"
SYSTEMD = {
    "bin/linewatch-led-help": "test_led.py::test_help_is_steady_if_it_may_be_shown",
    "bin/linewatch-postmortem": _HANG,
    "dbus/org.linewatch.ModemReset1.conf": _RESET,
    "dbus/org.linewatch.ModemReset1.service": _RESET,
    "linewatch-agent.service": _HANG,
    "linewatch-firstboot.service": (
        "test_firmware_first_start.py::test_a_seeded_card_becomes_a_probe"
    ),
    "linewatch-modem-reset.service": _RESET,
    "linewatch-postmortem.service": _HANG,
    "linewatch-release-gate.service": (
        "test_package_update.py::test_a_release_that_crashes_is_taken_back"
    ),
    "linewatch-release.path": _UPDATE,
    "linewatch-release.service": _UPDATE,
    "linewatch-server.service": _SERVER,
    "polkit/50-linewatch.rules": (
        "test_wiring.py::test_the_agent_may_ask_a_modem_for_its_signal_and_nothing_more"
    ),
    "sysctl.d/99-linewatch.conf": "test_wiring.py::test_the_kernel_is_set_for_several_lines",
    "sysusers.d/linewatch-server.conf": _SERVER,
    "sysusers.d/linewatch.conf": _LOST,
    "tmpfiles.d/linewatch.conf": _LOST,
    "udev/90-linewatch-led.rules": (
        "test_led.py::test_the_rule_opens_what_the_agent_writes_and_nothing_else"
    ),
}
FOLDERS = {"firmware-config": FIRMWARE, "systemd": SYSTEMD}
EXERCISED = {
    f"{folder}/{name}": test for folder, table in FOLDERS.items() for name, test in table.items()
}
"""From the checkout's top: file to test in this folder."""
