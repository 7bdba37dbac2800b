// What is behind the bridge to ISA.
//
// FACT: bits 0-3 COM1 to COM4, 4 LPT1, 5 floppy controller, 6 a drive A, 7 a drive B, 8 I/O APIC.

Device (PIC)
{
    Name (_HID, EisaId ("PNP0000"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0020, 0x0020, 1, 2)
        IO (Decode16, 0x00A0, 0x00A0, 1, 2)
        IO (Decode16, 0x04D0, 0x04D0, 1, 2)
        IRQNoFlags () { 2 }
    })
}

Device (DMAC)
{
    Name (_HID, EisaId ("PNP0200"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0000, 0x0000, 1, 0x10)
        IO (Decode16, 0x0081, 0x0081, 1, 0x0F)
        IO (Decode16, 0x00C0, 0x00C0, 1, 0x20)
        DMA (Compatibility, NotBusMaster, Transfer8) { 4 }
    })
}

Device (TMR)
{
    Name (_HID, EisaId ("PNP0100"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0040, 0x0040, 1, 4)
        IRQNoFlags () { 0 }
    })
}

Device (RTC)
{
    Name (_HID, EisaId ("PNP0B00"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0070, 0x0070, 1, 4)
        IRQNoFlags () { 8 }
    })
}

Device (SPKR)
{
    Name (_HID, EisaId ("PNP0800"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0061, 0x0061, 1, 1)
    })
}

Device (COPR)
{
    Name (_HID, EisaId ("PNP0C04"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x00F0, 0x00F0, 1, 2)
        IRQNoFlags () { 13 }
    })
}

Device (KBD)
{
    Name (_HID, EisaId ("PNP0303"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0060, 0x0060, 1, 1)
        IO (Decode16, 0x0064, 0x0064, 1, 1)
        IRQNoFlags () { 1 }
    })
}

Device (MOU)
{
    Name (_HID, EisaId ("PNP0F13"))
    Name (_CRS, ResourceTemplate ()
    {
        IRQNoFlags () { 12 }
    })
}

Device (FDC0)
{
    Name (_HID, EisaId ("PNP0700"))
    Method (_STA, 0)
    {
        If (And (\FACT, 0x20))
        {
            Return (0x0F)
        }
        Return (0)
    }
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x03F2, 0x03F2, 1, 4)
        IO (Decode16, 0x03F7, 0x03F7, 1, 1)
        IRQNoFlags () { 6 }
        DMA (Compatibility, NotBusMaster, Transfer8) { 2 }
    })
    // Which of four drives there are, in dwords; the last says that no tape is.
    Method (_FDE, 0, Serialized)
    {
        Name (FDES, Buffer (20) { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0 })
        CreateDWordField (FDES, 0, DRVA)
        CreateDWordField (FDES, 4, DRVB)
        Store (And (ShiftRight (\FACT, 6), 1), DRVA)
        Store (And (ShiftRight (\FACT, 7), 1), DRVB)
        Return (FDES)
    }
}

Device (COM1)
{
    Name (_HID, EisaId ("PNP0501"))
    Name (_UID, 1)
    Method (_STA, 0)
    {
        If (And (\FACT, 0x01))
        {
            Return (0x0F)
        }
        Return (0)
    }
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x03F8, 0x03F8, 1, 8)
        IRQNoFlags () { 4 }
    })
}

Device (COM2)
{
    Name (_HID, EisaId ("PNP0501"))
    Name (_UID, 2)
    Method (_STA, 0)
    {
        If (And (\FACT, 0x02))
        {
            Return (0x0F)
        }
        Return (0)
    }
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x02F8, 0x02F8, 1, 8)
        IRQNoFlags () { 3 }
    })
}

Device (COM3)
{
    Name (_HID, EisaId ("PNP0501"))
    Name (_UID, 3)
    Method (_STA, 0)
    {
        If (And (\FACT, 0x04))
        {
            Return (0x0F)
        }
        Return (0)
    }
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x03E8, 0x03E8, 1, 8)
        IRQNoFlags () { 4 }
    })
}

Device (COM4)
{
    Name (_HID, EisaId ("PNP0501"))
    Name (_UID, 4)
    Method (_STA, 0)
    {
        If (And (\FACT, 0x08))
        {
            Return (0x0F)
        }
        Return (0)
    }
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x02E8, 0x02E8, 1, 8)
        IRQNoFlags () { 3 }
    })
}

Device (LPT1)
{
    Name (_HID, EisaId ("PNP0400"))
    Method (_STA, 0)
    {
        If (And (\FACT, 0x10))
        {
            Return (0x0F)
        }
        Return (0)
    }
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0378, 0x0378, 1, 8)
        IRQNoFlags () { 7 }
    })
}

// Where a guest finds what the firmware is told, too.
Device (FWCF)
{
    Name (_HID, "QEMU0002")
    Name (_STA, 0x0B)
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0510, 0x0510, 1, 0x0C)
    })
}

// Ports that no other device has: nothing may be put there. CF9h lies in what the PCI bus itself uses.
Device (SYSR)
{
    Name (_HID, EisaId ("PNP0C02"))
    Name (_UID, 1)
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x0010, 0x0010, 1, 0x10)
        IO (Decode16, 0x0022, 0x0022, 1, 0x1E)
        IO (Decode16, 0x0044, 0x0044, 1, 0x1C)
        IO (Decode16, 0x0062, 0x0062, 1, 2)
        IO (Decode16, 0x0065, 0x0065, 1, 0x0B)
        IO (Decode16, 0x0074, 0x0074, 1, 0x0C)
        IO (Decode16, 0x0080, 0x0080, 1, 1)
        IO (Decode16, 0x0090, 0x0090, 1, 0x10)
        IO (Decode16, 0x00A2, 0x00A2, 1, 0x1E)
        IO (Decode16, 0x00E0, 0x00E0, 1, 0x10)
        // Power management: the registers, then what a system management bus would have.
        IO (Decode16, 0x0600, 0x0600, 1, 0x40)
        IO (Decode16, 0x0700, 0x0700, 1, 0x10)
        // The firmware's own: turning off, what waits for keys.
        IO (Decode16, 0x8900, 0x8900, 1, 4)
    })
}
