"""The libvirt driver: the only place that speaks to libvirt.

`driver` ties the parts together; `connection` keeps the link to the daemon, `events` waits for what it
reports, `guest` is one domain, `domain_xml` and `disk_xml` write and read its description, `secrets` lends
libvirt the CHAP passwords, `overlay` makes root disks, `accel` finds out how guests run here.
"""
