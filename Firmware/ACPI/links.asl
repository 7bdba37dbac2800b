// The interrupt links: PIRQA# to PIRQD# of the 82371SB, each led to one of the AT's requests by a register of the bridge (60h to 63h:
// bit 7 not routed, bits 3-0 which). IRQ 5 is left to sound cards of the ISA bus until a system chooses otherwise.

Scope (\_SB)
{
    // Of the register's value: whether it is routed.
    Method (LSTA, 1)
    {
        If (And (Arg0, 0x80))
        {
            Return (0x09)
        }
        Return (0x0B)
    }

    // The resources that stand for the register's value.
    Method (LCRS, 1, Serialized)
    {
        Name (LBUF, ResourceTemplate ()
        {
            IRQ (Level, ActiveLow, Shared) { 15 }
        })
        CreateWordField (LBUF, 1, LIRQ)
        Store (0, LIRQ)
        If (LNot (And (Arg0, 0x80)))
        {
            ShiftLeft (1, And (Arg0, 0x0F), LIRQ)
        }
        Return (LBUF)
    }

    // The register's value that stands for resources.
    Method (LSRS, 1)
    {
        CreateWordField (Arg0, 1, LIRQ)
        FindSetRightBit (LIRQ, Local0)
        If (Local0)
        {
            Return (Subtract (Local0, 1))
        }
        Return (0x80)
    }

    Name (LPRS, ResourceTemplate ()
    {
        IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
    })

    Device (LNKA)
    {
        Name (_HID, EisaId ("PNP0C0F"))
        Name (_UID, 1)
        Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQA)) }
        Method (_PRS, 0) { Return (LPRS) }
        Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQA)) }
        Method (_SRS, 1) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQA) }
        Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQA, 0x80, \_SB.PCI0.ISA.PRQA) }
    }

    Device (LNKB)
    {
        Name (_HID, EisaId ("PNP0C0F"))
        Name (_UID, 2)
        Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQB)) }
        Method (_PRS, 0) { Return (LPRS) }
        Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQB)) }
        Method (_SRS, 1) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQB) }
        Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQB, 0x80, \_SB.PCI0.ISA.PRQB) }
    }

    Device (LNKC)
    {
        Name (_HID, EisaId ("PNP0C0F"))
        Name (_UID, 3)
        Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQC)) }
        Method (_PRS, 0) { Return (LPRS) }
        Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQC)) }
        Method (_SRS, 1) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQC) }
        Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQC, 0x80, \_SB.PCI0.ISA.PRQC) }
    }

    Device (LNKD)
    {
        Name (_HID, EisaId ("PNP0C0F"))
        Name (_UID, 4)
        Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQD)) }
        Method (_PRS, 0) { Return (LPRS) }
        Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQD)) }
        Method (_SRS, 1) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQD) }
        Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQD, 0x80, \_SB.PCI0.ISA.PRQD) }
    }
}
