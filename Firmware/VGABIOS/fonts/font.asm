; The 8x16 font by itself, for words that a window writes over the guest's picture.
%include "font8x16.inc"
